# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The L1, L2 and refcount tables of qcow2 against the file's length.

Tables are handled whole: `bytes` slices, `array` and wide integers do the work in C, so that a full 100 GiB image takes
some tens of milliseconds.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache

from .facts import Draft
from .qcow2_compressed import compressed_end, smallest
from .reader import (
    MAX_PIECE,
    SECTOR,
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

OFFSET_MASK = 0x00FFFFFFFFFFFE00
COMPRESSED = 1 << 62
MAX_L1_HELD = 65536
NOT_COMPRESSED = bytes(flags for flags in range(256) if not flags & 0x40)


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


@dataclass
class Walk:
    """What the L2 walk has seen so far."""

    image: Reader
    draft: Draft
    cluster_size: int
    entry_size: int
    external: bool
    end: int = 0
    padded: int = 0
    stored: int = 0
    packed: int = 0

    @property
    def guest_tail(self) -> int:
        """Bytes of the disk's last cluster that belong to the guest; a writer need not pad it."""
        return self.draft.virtual_size % self.cluster_size or self.cluster_size

    @property
    def last_cluster(self) -> int:
        return (self.draft.virtual_size - 1) // self.cluster_size


def check_tables(image: Reader, draft: Draft, *, regions: list[Region], extended: bool, external: bool) -> None:
    """Every cluster that the active disk refers to must be in the file, in a place of its own."""
    cluster_size = draft.cluster_size or 0
    _check_overlap(draft, regions)
    walk = Walk(image, draft, cluster_size, 16 if extended else 8, external)
    for region in regions:
        if region.what == "refcount table":
            _check_pointers(walk, region, what="refcount block")
        elif region.what == "active L1 table":
            _walk_l1(walk, region, regions)
        elif region.what.startswith("L1 table"):
            _check_pointers(walk, region, what="L2 table of a snapshot")
    check_end(image, draft, end=walk.end, padded=walk.padded, what="last cluster of guest data")
    if not external:
        check_capacity(draft, stored=walk.packed * smallest(draft), available=image.size)
        check_capacity(draft, stored=walk.stored, available=-(-image.size // cluster_size) * cluster_size)


def _check_overlap(draft: Draft, regions: list[Region]) -> None:
    ordered = sorted(regions, key=lambda region: region.offset)
    for one, other in zip(ordered, ordered[1:]):
        if one.end > other.offset:
            draft.findings.append(finding("table-overlap", f"The {one.what} and the {other.what} overlap."))


def _check_pointers(walk: Walk, region: Region, *, what: str) -> None:
    """A table of cluster offsets: only the farthest one matters."""
    for data in walk.image.chunks(region.offset, region.length, what=region.what):
        farthest = max(entries(_without_flags(data, 8), code="Q", big_endian=True)) & OFFSET_MASK
        if farthest:
            check_end(walk.image, walk.draft, end=farthest + walk.cluster_size, what=what)


def _without_flags(table: bytes, entry_size: int) -> bytes:
    """The same table with the flag byte of each entry cleared (bits 56 to 63)."""
    cleared = bytearray(table)
    cleared[0::entry_size] = bytes(len(table) // entry_size)
    return bytes(cleared)


def _walk_l1(walk: Walk, region: Region, regions: list[Region]) -> None:
    offsets: list[tuple[int, int]] = []
    _check_pointers(walk, region, what="L2 table")
    index, total = 0, 0
    for data in walk.image.chunks(region.offset, region.length, what=region.what):
        if not_empty(data):
            found = [
                (index + at, entry & OFFSET_MASK)
                for at, entry in enumerate(entries(data, code="Q", big_endian=True))
                if entry & OFFSET_MASK
            ]
            total += len(found)
            offsets += found[: MAX_L1_HELD - len(offsets)]
        index += len(data) // 8
    check_capacity(walk.draft, stored=total * walk.cluster_size, available=walk.image.size)
    _check_l2_places(walk, offsets, regions)
    _walk_l2(walk, offsets, total)


def _check_l2_places(walk: Walk, offsets: list[tuple[int, int]], regions: list[Region]) -> None:
    places = {offset for _, offset in offsets}
    if len(places) < len(offsets):
        walk.draft.findings.append(
            finding("shared-table", "Two parts of the disk share one L2 table, an expansion bomb.")
        )
    if any(place % walk.cluster_size for place in places):
        raise Malformed("table-bounds", "An L2 table does not start at a cluster.")
    for region in regions:
        if any(region.offset <= place < region.end for place in places):
            walk.draft.findings.append(finding("table-overlap", f"An L2 table lies inside the {region.what}."))


def _walk_l2(walk: Walk, offsets: list[tuple[int, int]], total: int) -> None:
    limit = min(TABLE_COUNT, TABLE_BUDGET // walk.cluster_size)
    for index, offset in offsets[:limit]:
        table = walk.image.upto(offset, min(walk.cluster_size, MAX_PIECE))
        table = table[: len(table) // walk.entry_size * walk.entry_size]
        if not_empty(table):
            _l2_table(walk, index, table)
    if total > limit:
        unchecked(walk.draft, what="set of L2 tables")


def _l2_table(walk: Walk, index: int, table: bytes) -> None:
    plain = table if walk.entry_size == 8 else _words(table, 0)
    if plain[0::8].translate(None, NOT_COMPRESSED):
        plain = _compressed(walk, plain)
    count = len(plain) // 8
    offsets = int.from_bytes(plain, "big") & spread(OFFSET_MASK, count)
    if offsets & spread(walk.cluster_size - SECTOR, count):
        walk.draft.findings.append(finding("table-bounds", "An L2 entry points into the middle of a cluster."))
    if walk.external:
        return
    walk.stored += reaching(offsets, count, 1) * walk.cluster_size
    if reaching(offsets, count, max(walk.image.size - walk.cluster_size, 0) + 1):
        found = entries(offsets.to_bytes(count * 8, "big"), code="Q", big_endian=True)
        subclusters = entries(_words(table, 1), code="Q", big_endian=True) if walk.entry_size == 16 else None
        _beyond(walk, index * count, found, subclusters)


@lru_cache(maxsize=32)
def spread(value: int, count: int) -> int:
    """One wide integer with the same 8 bytes count times: a mask for a whole table at once."""
    return int.from_bytes(value.to_bytes(8, "big") * count, "big")


def reaching(table: int, count: int, least: int) -> int:
    """How many of the count values in a wide integer, each below 2^56, are least or more: adding carries into bit 63."""
    carried = (table + spread((1 << 63) - min(least, 1 << 62), count)) & spread(1 << 63, count)
    return carried.to_bytes(count * 8, "big")[0::8].count(0x80)


def _words(table: bytes, which: int) -> bytes:
    """Of an extended L2 table the entries (0) or their subcluster bitmaps (1)."""
    return array("Q", table)[which::2].tobytes()


def _beyond(walk: Walk, first: int, offsets: array[int], subclusters: array[int] | None) -> None:
    """The slow path: which entry passes the end, and is it only by padding that no guest sees?

    With subclusters (32 per cluster, the low half of the bitmap says which are allocated) nothing is padded.
    """
    size = walk.cluster_size
    for at, offset in enumerate(offsets):
        if not offset:
            continue
        length = walk.guest_tail if first + at == walk.last_cluster else size
        if subclusters is not None:
            length = min(length, (subclusters[at] & 0xFFFFFFFF).bit_length() * size // 32)
        walk.end = max(walk.end, offset + length)
        walk.padded = max(walk.padded, offset + (size if subclusters is None else length))


def _compressed(walk: Walk, table: bytes) -> bytes:
    """Check the compressed entries and return the table with them cleared."""
    values = entries(table, code="Q", big_endian=True)
    descriptors = [value & (COMPRESSED - 1) for value in values if value & COMPRESSED]
    if len(set(descriptors)) < len(descriptors):
        walk.draft.findings.append(finding("shared-table", "Compressed clusters are shared, an expansion bomb."))
    walk.packed += len(descriptors)
    if not walk.external:
        walk.end = max(walk.end, compressed_end(walk.image, walk.draft, descriptors))
    kept = bytearray(table)
    for at in (at for at, flags in enumerate(table[0::8]) if flags & 0x40):
        kept[at * 8 : at * 8 + 8] = bytes(8)
    return bytes(kept)
