# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The L1 tables of qcow2, active and of snapshots, against the file's length, and the places of all tables."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from .facts import Draft
from .qcow2_compressed import smallest
from .qcow2_l2 import OFFSET_MASK, Walk, walk_l2
from .qcow2_refcounts import clean_past_end
from .qcow2_region import ACTIVE, BITMAP, REFCOUNTS, SNAPSHOT, Pointers, Region
from .reader import (
    TABLE_BUDGET,
    TABLE_COUNT,
    Malformed,
    Reader,
    check_capacity,
    check_end,
    entries,
    not_empty,
    unchecked,
)
from .rules import finding
from .wide import reaching, spread

# Entries of one L1 or refcount table whose places are compared; 8 TiB in clusters of 64 KiB take 16384.
MAX_HELD = 1 << 18
# How much of the L1 tables of snapshots is read, and of the tables of bitmaps.
FURTHER_BUDGET = 8 << 20
MAX_FURTHER = 1024
HIGH_BYTE = 0xFF << 56


def check_tables(
    image: Reader, draft: Draft, *, regions: list[Region], extended: bool, external: bool, refcount_bits: int
) -> None:
    """Every cluster that the disk and its snapshots refer to must be in the file, in a place of its own."""
    cluster_size = draft.cluster_size or 0
    walk = Walk(image, draft, cluster_size, 16 if extended else 8, external)
    walk.left = min(TABLE_COUNT, TABLE_BUDGET // cluster_size)
    _check_overlap(regions)
    blocks = [_pointers(walk, one, what="refcount block") for one in regions if one.kind == REFCOUNTS]
    taken = _places(walk, regions)
    for region in regions:
        if region.kind == ACTIVE:
            _walk_active(walk, region, taken, blocks)
    _walk_snapshots(walk, [region for region in regions if region.kind == SNAPSHOT], taken)
    # Of bitmaps the tables are read, not the bits.
    for region in _within(walk, [region for region in regions if region.kind == BITMAP]):
        _pointers(walk, region, what="cluster of a bitmap")
    _say_ends(walk)
    draft.header["l2_tables"] = {"total": walk.total, "read": walk.read}
    draft.header["compressed_clusters"] = walk.packed
    if walk.incomplete and not (
        blocks and not external and not draft.dirty and clean_past_end(image, blocks[0], cluster_size, refcount_bits)
    ):
        unchecked(draft, what="set of tables")


def _say_ends(walk: Walk) -> None:
    if walk.external:
        # The data file is another one: who opens the chain compares.
        walk.draft.header["data_file_end"] = walk.end
        return
    size = walk.image.size
    check_end(walk.image, walk.draft, end=walk.end, padded=walk.padded, what="last cluster of guest data")
    check_capacity(walk.draft, stored=walk.packed * smallest(walk.draft), available=size)
    check_capacity(walk.draft, stored=walk.most_stored, available=-(-size // walk.cluster_size) * walk.cluster_size)


def _check_overlap(regions: list[Region]) -> None:
    ordered = sorted(regions, key=lambda region: region.offset)
    for one, other in zip(ordered, ordered[1:]):
        if one.end > other.offset:
            raise Malformed("table-overlap", f"The {one.what} and the {other.what} overlap; do not use this image.")


def _places(walk: Walk, regions: list[Region]) -> set[int]:
    """The clusters that the tables take, the header's left out: offset 0 stands for no cluster at all."""
    size, found = walk.cluster_size, set[int]()
    for region in regions:
        if len(found) < MAX_HELD:
            start = region.offset // size * size
            found.update(range(start, min(region.end, start + MAX_HELD * size), size))
    return found - {0}


def _pointers(walk: Walk, region: Region, *, what: str) -> Pointers:
    """The offsets in a table, each at a cluster; the farthest must be in the file."""
    indexes, offsets, index, total = array("I"), array("Q"), 0, 0
    for data in walk.image.chunks(region.offset, region.length, what=region.what):
        if not_empty(data):
            values = _offsets(walk, region, data, what=what)
            total += len(values) - values.count(0)
            if len(offsets) < MAX_HELD:
                used = [at for at, value in enumerate(values) if value]
                indexes.extend([index + at for at in used])
                offsets.extend([values[at] for at in used])
        index += len(data) // 8
    return Pointers(indexes, offsets, total)


def _offsets(walk: Walk, region: Region, data: bytes, *, what: str) -> array[int]:
    count, wide = len(data) // 8, int.from_bytes(data, "big")
    if region.kind == REFCOUNTS and wide & spread(HIGH_BYTE, count):
        raise Malformed("table-bounds", f"A {what} lies at an offset that no file has.")
    wide &= spread(OFFSET_MASK, count)
    if wide & spread(walk.cluster_size - 1, count):
        raise Malformed("table-bounds", f"A {what} does not start at a cluster.")
    values = entries(wide.to_bytes(count * 8, "big"), code="Q", big_endian=True)
    if reaching(wide, count, max(walk.image.size - walk.cluster_size, 0) + 1):
        check_end(walk.image, walk.draft, end=max(values) + walk.cluster_size, what=f"farthest {what}")
    return values


def _walk_active(walk: Walk, region: Region, regions: set[int], blocks: list[Pointers]) -> None:
    tables = _pointers(walk, region, what="L2 table")
    check_capacity(walk.draft, stored=tables.total * walk.cluster_size, available=walk.image.size)
    for one in blocks:
        _check_places(walk, one, regions, what="refcount table")
    _check_places(walk, tables, regions.union(*(one.offsets for one in blocks)), what="active disk")
    walk.seen.update(tables.offsets)
    walk.metadata = walk.seen.union(regions, *(one.offsets for one in blocks))
    walk.begin(walk.draft.virtual_size)
    walk_l2(walk, tables)


def _walk_snapshots(walk: Walk, regions: list[Region], everything: set[int]) -> None:
    """What a snapshot shares with the active disk, or an earlier snapshot, was seen there."""
    for region in _within(walk, regions):
        tables = _pointers(walk, region, what="L2 table of a snapshot")
        _check_places(walk, tables, everything, what=region.what)
        walk.begin(region.disk_size)
        walk_l2(walk, tables.without(walk.seen))
        if len(walk.seen) < MAX_HELD:
            walk.seen.update(tables.offsets)


def _within(walk: Walk, regions: list[Region]) -> Iterator[Region]:
    """As many of the regions as a budget allows."""
    left = FURTHER_BUDGET
    for number, region in enumerate(regions):
        left -= region.length
        if left < 0 or number >= MAX_FURTHER:
            walk.incomplete = True
            return
        yield region


def _check_places(walk: Walk, tables: Pointers, taken: set[int], *, what: str) -> None:
    if len(set(tables.offsets)) < len(tables.offsets):
        walk.draft.findings.append(
            finding("shared-table", f"Two parts of the {what} share one table, an expansion bomb.")
        )
    if not taken.isdisjoint(tables.offsets):
        raise Malformed("table-overlap", f"A table of the {what} lies inside another table; do not use this image.")
