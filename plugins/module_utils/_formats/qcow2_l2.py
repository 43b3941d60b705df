# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The L2 tables of qcow2, read in pieces and each piece handled as one wide integer.

Arithmetic on wide integers runs in C, so a full 100 GiB image takes some tens of milliseconds.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import lru_cache

from .facts import Draft
from .qcow2_compressed import check_compressed, start_bits
from .qcow2_region import Pointers
from .reader import CHUNK, SECTOR, Malformed, Reader, entries, not_empty, spaced
from .rules import finding

OFFSET_MASK = 0x00FFFFFFFFFFFE00
COMPRESSED = 1 << 62
ALL_ONES = (1 << 64) - 1
# 16 GiB in clusters of 64 KiB.
EXACT_TABLES = 32
MAX_INFLATIONS = 16


@dataclass
class Walk:
    """What the walk has seen so far; `left` is how many tables may still be read."""

    image: Reader
    draft: Draft
    cluster_size: int
    entry_size: int
    external: bool
    left: int = 0
    end: int = 0
    padded: int = 0
    stored: int = 0
    most_stored: int = 0
    packed: int = 0
    total: int = 0
    read: int = 0
    disk_size: int = 0
    inflations: int = 0
    incomplete: bool = False
    metadata: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)

    def begin(self, disk_size: int) -> None:
        """From here on the tables are those of another disk: the active one or a snapshot."""
        self.disk_size, self.stored = disk_size, 0

    @property
    def last_cluster(self) -> int:
        return (self.disk_size - 1) // self.cluster_size

    @property
    def exact(self) -> bool:
        """Whether every entry is compared with the places of the tables, which takes a while for large disks."""
        return self.read <= EXACT_TABLES and not self.external

    @property
    def truncated(self) -> bool:
        return self.end > self.image.size and not self.external

    def length_of(self, cluster: int) -> int:
        """Bytes of a cluster that are the guest's: a writer need not pad the last one. Behind the disk of a snapshot lies
        the state of the machine, whose length is not known here."""
        if cluster == self.last_cluster:
            return self.disk_size % self.cluster_size or self.cluster_size
        return self.cluster_size if cluster < self.last_cluster else SECTOR


def walk_l2(walk: Walk, tables: Pointers) -> None:
    """Look at every L2 table, or at evenly spaced ones of more than the limit; one entry past the end is enough."""
    chosen = spaced(range(len(tables.offsets)), walk.left)
    piece = min(walk.cluster_size, CHUNK)
    walk.total += tables.total
    for at in chosen:
        walk.left, walk.read = walk.left - 1, walk.read + 1
        for start in range(0, walk.cluster_size, piece):
            table = walk.image.upto(tables.offsets[at] + start, piece)
            table = table[: len(table) // walk.entry_size * walk.entry_size]
            if not_empty(table):
                _piece(walk, (tables.indexes[at] * walk.cluster_size + start) // walk.entry_size, table)
        if walk.truncated:
            return
    walk.most_stored = max(walk.most_stored, walk.stored)
    walk.incomplete = walk.incomplete or tables.total > len(chosen)


def _piece(walk: Walk, first: int, table: bytes) -> None:
    plain = table if walk.entry_size == 8 else _words(table, 0)
    count, wide = len(plain) // 8, int.from_bytes(plain, "big")
    marks = wide & spread(COMPRESSED, count)
    if marks:
        wide = _compressed(walk, wide, marks, count)
    wide &= spread(OFFSET_MASK, count)
    if wide & spread(walk.cluster_size - SECTOR, count):
        walk.draft.findings.append(finding("table-bounds", "An L2 entry points into the middle of a cluster."))
    beyond = walk.external or reaching(wide, count, max(walk.image.size - walk.cluster_size, 0) + 1)
    walk.stored += reaching(wide, count, 1) * walk.cluster_size
    if beyond or walk.exact:
        found = entries(wide.to_bytes(count * 8, "big"), code="Q", big_endian=True)
        if walk.exact and not walk.metadata.isdisjoint(found):
            raise Malformed(
                "table-overlap", "Guest data lies in a cluster of the image's tables; do not use this image."
            )
        if beyond:
            subclusters = entries(_words(table, 1), code="Q", big_endian=True) if walk.entry_size == 16 else None
            _beyond(walk, first, found, subclusters)


@lru_cache(maxsize=16)
def spread(value: int, count: int) -> int:
    """One wide integer with the same 8 bytes count times: a mask for a whole table at once."""
    return int.from_bytes(value.to_bytes(8, "big") * count, "big")


def reaching(wide: int, count: int, least: int) -> int:
    """How many of the count values in a wide integer, each below 2^62, are least or more: adding carries into bit 63."""
    carried = (wide + spread((1 << 63) - min(least, 1 << 62), count)) & spread(1 << 63, count)
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
        length = walk.length_of(first + at)
        if subclusters is not None:
            length = min(length, (subclusters[at] & 0xFFFFFFFF).bit_length() * size // 32)
        walk.end = max(walk.end, offset + length)
        if first + at <= walk.last_cluster:
            walk.padded = max(walk.padded, offset + (size if subclusters is None else length))


def _compressed(walk: Walk, wide: int, marks: int, count: int) -> int:
    """Check the compressed entries and return the rest of the table."""
    chosen = wide & (marks >> 62) * ALL_ONES
    descriptors = entries(
        (chosen & spread(COMPRESSED - 1, count)).to_bytes(count * 8, "big"), code="Q", big_endian=True
    )
    distinct = set(descriptors) - {0}
    number = reaching(marks >> 62, count, 1)
    if len(distinct) < number:
        walk.draft.findings.append(finding("shared-table", "Compressed clusters are shared, an expansion bomb."))
    walk.packed += number
    starts = chosen & spread((1 << start_bits(walk.cluster_size)) - 1, count)
    # A descriptor's length is at most two clusters, so most tables need no closer look.
    if not walk.external and reaching(starts, count, max(walk.image.size - 2 * walk.cluster_size - SECTOR, 1)):
        end, inflated = check_compressed(walk.image, walk.draft, distinct, inflate=walk.inflations < MAX_INFLATIONS)
        walk.end, walk.inflations = max(walk.end, end), walk.inflations + inflated
    return wide ^ chosen
