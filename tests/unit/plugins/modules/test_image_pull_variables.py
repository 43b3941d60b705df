# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images whose manifest, description or blob of UEFI variables is malformed: refused before any block comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import MANIFEST
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.variables import Variables
from ansible_collections.imageops.fleet.plugins.module_utils._registry import layout
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image
from ansible_collections.imageops.fleet.tests.unit.catalog_images import HandMade

from .test_image_pull import catalog, disk, folder, no_libvirt, pull, refusal

__all__ = ["catalog", "folder", "no_libvirt"]

pytestmark = pytest.mark.usefixtures("state_dir", "no_libvirt")
CONTENT = b"\xff" * 2000
UNKNOWN = "the image has parts that this version doesn't know"


def told(**changed: Any) -> Variables:
    return Variables(**{"content": digest_of(CONTENT), "size": len(CONTENT), **changed})


@pytest.mark.parametrize(
    ("variables", "told", "words"),
    [
        (b"", told(), "the image tells of UEFI variables, and holds none"),
        (CONTENT, told(size=0), "the UEFI variables have no digest of their content, or no sensible size"),
        (CONTENT, told(content="../../etc"), "the UEFI variables have no digest of their content, or no sensible size"),
    ],
)
def test_a_description_that_can_not_be(
    catalog: HandMade, folder: Path, variables: bytes, told: Variables, words: str
) -> None:
    catalog.publish({"vda": disk()}, tag="1", variables=variables, told=told)
    for check in (True, False):
        assert words in refusal(catalog, folder / "image", check=check)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda layers: layers[-1].update(size=1 << 40), "holds 1099511627776 bytes of them, which is too much"),
        (lambda layers: layers[-1].update(size="x"), "the size x in a descriptor is no number of bytes"),
        (lambda layers: layers.insert(1, layers.pop()), UNKNOWN),
        (lambda layers: layers.append(layers[-1]), UNKNOWN),
        (lambda layers: layers.pop(0), UNKNOWN),
    ],
)
def test_a_manifest_that_can_not_be(
    catalog: HandMade,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[list[dict[str, Any]]], Any],
    words: str,
) -> None:
    catalog.publish({"vda": disk()}, tag="1", variables=CONTENT)
    manifest = json.loads(catalog.store.manifest("1")[1])
    change(manifest["layers"])
    # A hostile catalog looks at nothing.
    monkeypatch.setattr(layout, "require_blobs", lambda *arguments, **named: None)
    catalog.store.write_manifest(json.dumps(manifest).encode(), MANIFEST, tag="1")
    for check in (True, False):
        assert words in refusal(catalog, folder / "image", check=check)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kind", ["damaged", "other", "gone"])
def test_a_blob_that_can_not_be(catalog: HandMade, folder: Path, kind: str) -> None:
    content = b"other".ljust(len(CONTENT)) if kind == "other" else CONTENT
    catalog.publish({"vda": disk()}, tag="1", variables=content, told=told())
    blobs, blob = catalog.path / "blobs/sha256", load_image(catalog.store, "1").manifest.variables
    assert blob is not None
    file = blobs / blob.digest.partition(":")[2]
    words = {"damaged": "damaged", "other": "their digest is another one", "gone": blob.digest}[kind]
    if kind == "damaged":
        file.write_bytes(bytes(blob.size))
    if kind == "gone":
        file.unlink()
    # What would come first otherwise is not there.
    for pack in catalog.packs:
        (blobs / pack.partition(":")[2]).unlink()
    assert words in pull(catalog, folder / "image")["msg"]
    assert not (folder / "image").exists()
