# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images of ours in a repository: manifest, configuration and block index, each checked against its digest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from .._catalog.digest import Descriptor, digest_of
from .._catalog.image import (
    MOST_CONFIG,
    DiskEntry,
    ImageConfig,
    ImageManifest,
    SegmentEntry,
    read_config,
    read_manifest,
)
from .._catalog.segment import BLOCK_SIZE, SEGMENT_BLOCKS, Segment, read_segment
from .._catalog.times import parse_time
from .._errors import TransferError
from .interface import Store

# Wanted segments this near to each other are fetched at once, up to so many bytes.
_GAP = 64 << 10
_MOST_RANGE = 4 << 20


class SegmentCache(Protocol):
    """Where segments are kept that were fetched before; what it gives is checked."""

    def get(self, digest: str) -> bytes | None:
        """The segment, None when it isn't kept."""

    def put(self, digest: str, data: bytes) -> None:
        """Keep a segment."""


@dataclass(frozen=True)
class LoadedImage:
    """An image as its repository tells it; `created` is in seconds since the epoch, None when nobody knows."""

    digest: str
    manifest: ImageManifest
    config: ImageConfig
    created: float | None = None


def load_image(store: Store, version: str) -> LoadedImage:
    """The image of that tag or digest; raises Unsupported for what is no image of ours."""
    found, data = store.manifest(version)
    where = f"{store.where}@{found.digest}"
    manifest = read_manifest(data, where=where)
    config = read_config(_whole(store, manifest.config, most=MOST_CONFIG, where=where), where=where)
    for disk in config.disks:
        _require_in_index(disk, manifest.index, where)
    created = parse_time(config.created)
    return LoadedImage(found.digest, manifest, config, store.created(found.digest) if created is None else created)


def read_whole_blob(store: Store, blob: Descriptor, *, most: int) -> bytes:
    """A small blob, checked against size and digest; raises TransferError when it is longer than `most` bytes."""
    return _whole(store, blob, most=most, where=store.where)


def load_segments(
    store: Store, image: LoadedImage, disk: DiskEntry, cache: SegmentCache | None = None
) -> list[Segment]:
    """All segments of a disk's block index; only those that `cache` doesn't hold are fetched."""
    where = f"{store.where}@{image.digest}"
    kept = {entry.digest: data for entry in disk.segments if (data := _cached(cache, entry)) is not None}
    missing = {entry.digest: entry for entry in disk.segments if entry.digest not in kept}
    for group in _neighbours(sorted(missing.values(), key=lambda entry: entry.offset)):
        for entry, data in _fetched(store, image.manifest.index, group, where):
            kept[entry.digest] = data
            if cache is not None:
                cache.put(entry.digest, data)
    read: dict[str, Segment] = {}
    sizes = {pack.digest: pack.size for pack in image.manifest.packs}
    for entry in disk.segments:
        # A small index can name one segment for every GiB of a huge disk.
        if entry.digest not in read:
            read[entry.digest] = read_segment(kept[entry.digest], number=entry.number, where=where)
            _require_in_packs(read[entry.digest], disk, sizes, where)
    return [_placed(read[entry.digest], entry, disk, where) for entry in disk.segments]


def _whole(store: Store, blob: Descriptor, *, most: int, where: str) -> bytes:
    if blob.size > most:
        raise TransferError(f"{where}: the blob {blob.digest} has {blob.size} bytes, and at most {most} are read.")
    data = store.read_blob(blob.digest, 0, blob.size)
    while digest_of(data) != blob.digest and store.doubt(blob.digest):
        data = store.read_blob(blob.digest, 0, blob.size)
    return _require_digest(data, blob.digest, where)


def _require_digest(data: bytes, digest: str, where: str) -> bytes:
    if digest_of(data) != digest:
        raise TransferError(
            f"{where}: what came for {digest} has another digest: it is damaged, or not what was published."
        )
    return data


def _require_in_index(disk: DiskEntry, index: Descriptor, where: str) -> None:
    if any(entry.offset + entry.length > index.size for entry in disk.segments):
        raise TransferError(f"{where}: the disk {disk.name} has segments behind the end of the block index.")


def _cached(cache: SegmentCache | None, entry: SegmentEntry) -> bytes | None:
    data = cache.get(entry.digest) if cache is not None else None
    return data if data is not None and digest_of(data) == entry.digest else None


def _neighbours(entries: Sequence[SegmentEntry]) -> Iterator[list[SegmentEntry]]:
    """Entries in the order of their offsets, in groups that are fetched by one request each."""
    group: list[SegmentEntry] = []
    for entry in entries:
        if group and not _joins(group, entry):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def _joins(group: Sequence[SegmentEntry], entry: SegmentEntry) -> bool:
    end = max(one.offset + one.length for one in group)
    return entry.offset <= end + _GAP and entry.offset + entry.length - group[0].offset <= _MOST_RANGE


def _fetched(
    store: Store, index: Descriptor, group: Sequence[SegmentEntry], where: str
) -> Iterator[tuple[SegmentEntry, bytes]]:
    start = group[0].offset
    length = max(entry.offset + entry.length for entry in group) - start
    while True:
        data = store.read_blob(index.digest, start, length)
        found = [(entry, data[entry.offset - start :][: entry.length]) for entry in group]
        if all(digest_of(piece) == entry.digest for entry, piece in found) or not store.doubt(index.digest):
            break
    for entry, piece in found:
        yield entry, _require_digest(piece, entry.digest, where)


def _placed(segment: Segment, entry: SegmentEntry, disk: DiskEntry, where: str) -> Segment:
    """The segment at its place in the disk; raises TransferError when it has other blocks."""
    blocks = -(-disk.size // BLOCK_SIZE)
    if len(segment) != entry.blocks or (len(segment) and entry.number * SEGMENT_BLOCKS + segment.numbers[-1] >= blocks):
        raise TransferError(f"{where}: the block index of the disk {disk.name} has other blocks than the disk.")
    return replace(segment, number=entry.number)


def _require_in_packs(segment: Segment, disk: DiskEntry, sizes: Mapping[str, int], where: str) -> None:
    """Raise TransferError for blocks that leave their pack."""
    lengths = [sizes.get(digest, 0) for digest in segment.packs]
    ends = (
        offset + length > lengths[pack]
        for pack, offset, length in zip(segment.pack_of, segment.offsets, segment.lengths)
    )
    if any(ends):
        raise TransferError(
            f"{where}: the block index of the disk {disk.name} names blocks that are in no pack of the image."
        )
