# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The L1 and refcount tables of qcow2 against the file's length, and their places against each other."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from .facts import Draft
from .qcow2_compressed import smallest
from .qcow2_l2 import OFFSET_MASK, Walk, reaching, spread, walk_l2
from .reader import TABLE_BUDGET, Malformed, Reader, check_capacity, check_end, entries, not_empty, unchecked
from .rules import finding

MAX_L1_HELD = 65536


@dataclass(frozen=True)
class Region:
    """A named piece of the file that one table occupies."""

    what: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        return self.offset + self.length

    def checked(self, image: Reader, alignment: int) -> Region:
        """The same region, if it is aligned and inside the file."""
        if self.offset % alignment or not self.offset:
            raise Malformed("table-bounds", f"The {self.what} lies at {self.offset}, which is no cluster of its own.")
        if self.end > image.size:
            raise Malformed(
                "truncated",
                f"The {self.what} ends at byte {self.end}, the file already at {image.size}; get the file again.",
            )
        return self


def check_tables(image: Reader, draft: Draft, *, regions: list[Region], extended: bool, external: bool) -> None:
    """Every cluster that the active disk refers to must be in the file, in a place of its own."""
    cluster_size = draft.cluster_size or 0
    _check_overlap(regions)
    walk = Walk(image, draft, cluster_size, 16 if extended else 8, external)
    for region in regions:
        if region.what == "refcount table":
            _check_pointers(walk, region, what="refcount block")
        elif region.what == "active L1 table":
            _walk_l1(walk, region, regions)
    _check_snapshots(walk, [region for region in regions if region.what.startswith("L1 table")])
    check_end(image, draft, end=walk.end, padded=walk.padded, what="last cluster of guest data")
    if not external:
        check_capacity(draft, stored=walk.packed * smallest(draft), available=image.size)
        check_capacity(draft, stored=walk.stored, available=-(-image.size // cluster_size) * cluster_size)


def _check_overlap(regions: list[Region]) -> None:
    ordered = sorted(regions, key=lambda region: region.offset)
    for one, other in zip(ordered, ordered[1:]):
        if one.end > other.offset:
            raise Malformed("table-overlap", f"The {one.what} and the {other.what} overlap; do not use this image.")


def _check_snapshots(walk: Walk, regions: list[Region]) -> None:
    """Of snapshots only the L1 tables are read; what they share with the active disk was seen there."""
    left = TABLE_BUDGET
    for region in regions:
        left -= region.length
        if left < 0:
            unchecked(walk.draft, what="set of L1 tables of snapshots")
            return
        _check_pointers(walk, region, what="L2 table of a snapshot")


def _check_pointers(walk: Walk, region: Region, *, what: str) -> None:
    """A table of cluster offsets: only the farthest one matters."""
    for data in walk.image.chunks(region.offset, region.length, what=region.what):
        wide, count = _offsets(data)
        if reaching(wide, count, max(walk.image.size - walk.cluster_size, 0) + 1):
            farthest = max(entries(wide.to_bytes(count * 8, "big"), code="Q", big_endian=True))
            check_end(walk.image, walk.draft, end=farthest + walk.cluster_size, what=what)
            return


def _offsets(data: bytes) -> tuple[int, int]:
    """A table of offsets without flags as one wide integer, and how many there are."""
    count = len(data) // 8
    return int.from_bytes(data, "big") & spread(OFFSET_MASK, count), count


def _walk_l1(walk: Walk, region: Region, regions: list[Region]) -> None:
    offsets: list[tuple[int, int]] = []
    _check_pointers(walk, region, what="L2 table")
    index, total = 0, 0
    for data in walk.image.chunks(region.offset, region.length, what=region.what):
        wide, count = _offsets(data)
        total += reaching(wide, count, 1)
        if len(offsets) < MAX_L1_HELD and not_empty(data):
            found = entries(wide.to_bytes(count * 8, "big"), code="Q", big_endian=True)
            offsets += [(index + at, offset) for at, offset in enumerate(found) if offset]
        index += count
    check_capacity(walk.draft, stored=total * walk.cluster_size, available=walk.image.size)
    _check_l2_places(walk, offsets, regions)
    walk_l2(walk, offsets, total)


def _check_l2_places(walk: Walk, offsets: list[tuple[int, int]], regions: list[Region]) -> None:
    places = sorted({offset for _where, offset in offsets})
    if len(places) < len(offsets):
        walk.draft.findings.append(
            finding("shared-table", "Two parts of the disk share one L2 table, an expansion bomb.")
        )
    if any(place % walk.cluster_size for place in places):
        raise Malformed("table-bounds", "An L2 table does not start at a cluster.")
    for region in regions:
        at = bisect_left(places, region.offset)
        if at < len(places) and places[at] < region.end:
            raise Malformed("table-overlap", f"An L2 table lies inside the {region.what}; do not use this image.")
