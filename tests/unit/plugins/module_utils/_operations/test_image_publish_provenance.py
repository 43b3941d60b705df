# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_provenance import (
    attach_sboms,
    recipe_of,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_request import SourceDisk
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, write_record

SBOM = b"{}" + b" " * (2 << 20)


class Store:
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: list[bytes] = []

    def resolve(self, digest: str) -> Any:
        from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor

        return Descriptor("application/vnd.oci.image.manifest.v1+json", digest, 7)

    def write_blob(self, data: bytes, digest: str) -> None:
        self.blobs[digest] = data

    def write_manifest(self, data: bytes, media_type: str, *, tag: str = "") -> None:
        self.manifests.append(data)


@pytest.fixture
def disk(tmp_path: Path) -> SourceDisk:
    path = tmp_path / "golden.qcow2"
    path.write_bytes(b"x")
    (tmp_path / "golden.spdx.json").write_bytes(SBOM)
    digest = f"sha256:{hashlib.sha256(SBOM).hexdigest()}"
    options = {"recipe": "sha256:r", "sbom": "golden.spdx.json", "sbom_digest": digest, "mark": "m", "salt": "s"}
    source = {"kind": "path", "path": "/secret/place", "digest": "sha256:b"}
    write_record(str(path), Record("build", "qcow2", 1, source=source, options=options, tool="t"))
    return SourceDisk("vda", str(path), "qcow2", [{"path": str(path)}])


def test_the_image_tells_recipe_base_and_sbom_and_no_more(disk: SourceDisk) -> None:
    told = recipe_of(disk)["build"]
    assert told["recipe"] == "sha256:r" and told["base"] == {"kind": "path", "digest": "sha256:b"}
    assert set(told) == {"recipe", "sbom", "base", "tool"}


def test_the_sbom_stands_beside_the_image(disk: SourceDisk) -> None:
    store = Store()
    assert attach_sboms(store, [disk], "sha256:" + "0" * 64) == 1  # type: ignore[arg-type]
    assert SBOM in store.blobs.values() and b"application/spdx+json" in store.manifests[0]
    assert b'"subject"' in store.manifests[0]


def test_another_sbom_than_the_images_own_is_left_out(disk: SourceDisk, tmp_path: Path) -> None:
    (tmp_path / "golden.spdx.json").write_bytes(b"other")
    assert attach_sboms(Store(), [disk], "sha256:0") == 0  # type: ignore[arg-type]
    (tmp_path / "golden.spdx.json").unlink()
    assert attach_sboms(Store(), [disk], "sha256:0") == 0  # type: ignore[arg-type]


def test_of_other_disks_nothing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(b"x")
    plain = SourceDisk("vda", str(path), "raw", [{"path": str(path)}])
    assert recipe_of(plain) == {} and recipe_of(SourceDisk("vda", str(path), "raw", [])) == {}
