# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import MOST_CONFIG, ImageConfig
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE, SEGMENT_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import (
    LoadedImage,
    load_image,
    load_segments,
    read_whole_blob,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.catalog_image import SmallImage, small_image


class Counting(LayoutStore):
    """Notes the parts that were read."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.parts: list[tuple[str, int, int]] = []

    def read_blob(self, digest: str, offset: int, length: int) -> bytes:
        self.parts.append((digest, offset, length))
        return super().read_blob(digest, offset, length)


class Kept(dict[str, bytes]):
    """A cache in memory."""

    def put(self, digest: str, data: bytes) -> None:
        self[digest] = data


def stored(tmp_path: Path, **given: Any) -> tuple[Counting, SmallImage, LoadedImage]:
    store, image = Counting(str(tmp_path / "debian")), small_image(**given)
    image.publish(store, "12")
    loaded = load_image(store, "12")
    store.parts.clear()
    return store, image, loaded


def test_an_image_is_read(tmp_path: Path) -> None:
    _store, image, loaded = stored(tmp_path)
    assert (loaded.digest, loaded.manifest, loaded.config) == (image.digest, image.manifest, image.config)
    assert loaded.created == 1795881600.0


def test_when_it_came_where_it_does_not_say(tmp_path: Path) -> None:
    store, image, loaded = stored(tmp_path, created="")
    assert loaded.created == store.created(image.digest)


def test_segments_that_lie_together_are_fetched_at_once(tmp_path: Path) -> None:
    store, image, loaded = stored(tmp_path, gap=1000)
    kept = Kept()
    assert load_segments(store, loaded, loaded.config.disks[0], kept) == list(image.segments)
    first, last = loaded.config.disks[0].segments
    assert store.parts == [(image.manifest.index.digest, 0, last.offset + last.length)]
    assert set(kept) == {first.digest, last.digest}


def test_segments_far_apart_are_fetched_alone(tmp_path: Path) -> None:
    store, image, loaded = stored(tmp_path, gap=100_000)
    assert load_segments(store, loaded, loaded.config.disks[0]) == list(image.segments)
    assert [part[1:] for part in store.parts] == [
        (entry.offset, entry.length) for entry in loaded.config.disks[0].segments
    ]


def test_only_what_the_cache_lacks_is_fetched(tmp_path: Path) -> None:
    store, image, loaded = stored(tmp_path)
    first, last = loaded.config.disks[0].segments
    kept = Kept({first.digest: image.segments[0].as_bytes(), last.digest: b"damaged"})
    assert load_segments(store, loaded, loaded.config.disks[0], kept) == list(image.segments)
    assert [part[1:] for part in store.parts] == [(last.offset, last.length)]


def test_a_damaged_segment_is_refused(tmp_path: Path) -> None:
    store, image, loaded = stored(tmp_path)
    path = tmp_path / "debian" / "blobs" / "sha256" / image.manifest.index.digest.removeprefix("sha256:")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(TransferError, match="another digest: it is damaged"):
        load_segments(store, loaded, loaded.config.disks[0])


@pytest.mark.parametrize("size", [2 * SEGMENT_SIZE + BLOCK_SIZE, 2 * SEGMENT_SIZE + 1])
def test_blocks_behind_the_end_of_the_disk_are_refused(tmp_path: Path, size: int) -> None:
    store, _image, loaded = stored(tmp_path)
    with pytest.raises(TransferError, match="has other blocks than the disk"):
        load_segments(store, loaded, replace(loaded.config.disks[0], size=size))


def test_a_segment_that_a_huge_disk_names_again_and_again_is_kept_once(tmp_path: Path) -> None:
    """Else an index of a megabyte could stand for so many blocks that no host has the memory."""
    store, _image, loaded = stored(tmp_path)
    disk = loaded.config.disks[0]
    first = disk.segments[0]
    huge = replace(disk, size=1000 * SEGMENT_SIZE, segments=tuple(replace(first, number=gib) for gib in range(1000)))
    segments = load_segments(store, loaded, huge)
    assert [segment.number for segment in segments] == list(range(1000))
    assert len({id(segment.digests) for segment in segments}) == 1


def test_blocks_in_no_pack_are_refused(tmp_path: Path) -> None:
    store, _image, loaded = stored(tmp_path)
    for packs in ((), (replace(loaded.manifest.packs[0], size=loaded.manifest.packs[0].size - 1),)):
        other = replace(loaded, manifest=replace(loaded.manifest, packs=packs))
        with pytest.raises(TransferError, match="in no pack of the image"):
            load_segments(store, other, loaded.config.disks[0])


def test_segments_behind_the_end_of_the_index_are_refused(tmp_path: Path) -> None:
    store, image = LayoutStore(str(tmp_path / "debian")), small_image()
    manifest = replace(image.manifest, index=replace(image.manifest.index, size=100))
    broken = replace(image, manifest=manifest, blobs={**image.blobs})
    with pytest.raises(TransferError, match="instead of 100"):
        broken.publish(store, "12")
    (disk,) = image.config.disks
    far = replace(disk, segments=(replace(disk.segments[0], offset=10_000),))
    config = ImageConfig((far,))
    data = config.as_bytes()
    manifest = replace(image.manifest, config=replace(image.manifest.config, digest=digest_of(data), size=len(data)))
    replace(image, manifest=manifest, blobs={**image.blobs, digest_of(data): data}).publish(store, "13")
    with pytest.raises(TransferError, match="behind the end of the block index"):
        load_image(store, "13")


def test_a_configuration_of_no_sensible_size_is_not_read(tmp_path: Path) -> None:
    store, image, loaded = stored(tmp_path)
    with pytest.raises(TransferError, match="at most"):
        read_whole_blob(store, replace(loaded.manifest.config, size=MOST_CONFIG + 1), most=MOST_CONFIG)
    assert store.parts == []
    assert read_whole_blob(store, loaded.manifest.config, most=MOST_CONFIG) == image.config.as_bytes()
