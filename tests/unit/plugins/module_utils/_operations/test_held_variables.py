# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.variables import Variables
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound, TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_variables import (
    are_kept,
    fetch_variables,
    keep_variables,
    kept_variables,
    tidy_variables,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image
from ansible_collections.imageops.fleet.tests.unit.catalog_images import HandMade
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._operations.test_catalog_base import disk

CONTENT = b"\xff" * 5000 + b"Boot0001"


@pytest.fixture
def catalog(tmp_path: Path, state_dir: Path) -> HandMade:
    made = HandMade(tmp_path / "debian")
    made.publish({"vda": disk(1)}, tag="1", variables=CONTENT)
    return made


def fetched(catalog: HandMade, tag: str = "1") -> tuple[Variables, bytes]:
    found = fetch_variables(catalog.store, load_image(catalog.store, tag))
    assert found is not None
    return found


def blob_of(catalog: HandMade, tag: str = "1") -> Path:
    blob = load_image(catalog.store, tag).manifest.variables
    assert blob is not None
    return catalog.path / "blobs" / "sha256" / blob.digest.partition(":")[2]


def test_what_was_fetched_is_kept(catalog: HandMade) -> None:
    told, frame = fetched(catalog)
    assert not are_kept(told)
    keep_variables(told, frame)
    assert are_kept(told) and kept_variables(told) == CONTENT


def test_images_without(catalog: HandMade) -> None:
    catalog.publish({"vda": disk(1)}, tag="2")
    assert fetch_variables(catalog.store, load_image(catalog.store, "2")) is None


def test_damaged_ones_are_refused(catalog: HandMade, state_dir: Path) -> None:
    told, frame = fetched(catalog)
    keep_variables(told, frame)
    file = state_dir / "variables" / told.content.partition(":")[2]
    whole = file.read_bytes()
    for damaged in (whole[:-4] + b"oops", whole[:-1], whole[:32], b"", b"x" + whole[1:], frame[:-1]):
        file.write_bytes(damaged)
        assert not are_kept(told)
        with pytest.raises(TransferError, match="are damaged in .*; bring them back by imageops.fleet.image_pull"):
            kept_variables(told)
    keep_variables(told, frame)
    assert are_kept(told) and kept_variables(told) == CONTENT
    with blob_of(catalog).open("r+b") as stream:
        stream.write(b"oops")
    with pytest.raises(TransferError, match="damaged"):
        fetched(catalog)


def test_the_frame_alone_as_earlier_versions_kept_it(catalog: HandMade, state_dir: Path) -> None:
    """It serves until the next pull brings them in the form of today."""
    told, frame = fetched(catalog)
    keep_variables(told, frame)
    (state_dir / "variables" / told.content.partition(":")[2]).write_bytes(frame)
    assert not are_kept(told) and kept_variables(told) == CONTENT


def test_a_publisher_that_tells_of_others_is_refused(catalog: HandMade) -> None:
    catalog.publish({"vda": disk(1)}, tag="2", variables=CONTENT, told=Variables(digest_of(b"other"), len(CONTENT)))
    with pytest.raises(TransferError, match="their digest is another one"):
        fetched(catalog, "2")
    catalog.publish({"vda": disk(1)}, tag="3", told=Variables(digest_of(CONTENT), len(CONTENT)))
    with pytest.raises(TransferError, match="and holds none"):
        fetched(catalog, "3")


def test_ones_that_are_gone(catalog: HandMade) -> None:
    with pytest.raises(NotFound, match="bring them back by imageops.fleet.image_pull"):
        kept_variables(fetched(catalog)[0])


def test_tidying(catalog: HandMade, state_dir: Path) -> None:
    told, frame = fetched(catalog)
    keep_variables(told, frame)
    now = os.stat(state_dir / "variables" / told.content.partition(":")[2]).st_mtime
    tidy_variables(set(), now + 3600)
    tidy_variables({told.content}, now + 30 * 86400)
    assert are_kept(told)
    tidy_variables(set(), now + 30 * 86400)
    assert not are_kept(told)
