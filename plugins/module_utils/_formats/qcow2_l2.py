# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The L2 tables of qcow2, read in pieces and each piece handled as one wide integer.

So a full 100 GiB image takes some tens of milliseconds.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from itertools import islice

from .facts import Draft
from .qcow2_compressed import check_compressed, start_bits
from .qcow2_region import Pointers
from .reader import CHUNK, SECTOR, Malformed, Reader, entries, not_empty, spaced
from .rules import finding
from .wide import ALL_ONES, reaching, spread

OFFSET_MASK = 0x00FFFFFFFFFFFE00
COMPRESSED = 1 << 62
# The L2 tables of 16 GiB in clusters of 64 KiB.
EXACT_BYTES = 2 << 20
# Entries that are looked at one by one.
SLOW_ENTRIES = 1 << 19
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
    slow: int = SLOW_ENTRIES
    incomplete: bool = False
    metadata: set[int] = field(default_factory=set)
    seen: set[int] = field(default_factory=set)

    def begin(self, disk_size: int) -> None:
        """From here on the tables are those of another disk: the active one or a snapshot."""
        self.disk_size, self.stored = disk_size, 0

    def spend(self, entries: int) -> int:
        """How many of so many entries may still be looked at one by one."""
        allowed = min(entries, self.slow)
        self.slow -= allowed
        self.incomplete = self.incomplete or allowed < entries
        return allowed

    @property
    def last_cluster(self) -> int:
        return (self.disk_size - 1) // self.cluster_size

    @property
    def exact(self) -> bool:
        """Whether every entry is compared with the places of the tables, which takes a while for large disks."""
        return self.read * self.cluster_size <= EXACT_BYTES and not self.external

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


def _words(table: bytes, which: int) -> bytes:
    """Of an extended L2 table the entries (0) or their subcluster bitmaps (1)."""
    return array("Q", table)[which::2].tobytes()


def _beyond(walk: Walk, first: int, offsets: array[int], subclusters: array[int] | None) -> None:
    """Where the farthest cluster ends, as far as it is the guest's: one in full, the disk's last one, one behind the disk."""
    size, last = walk.cluster_size, walk.last_cluster - first
    if subclusters is not None:
        _beyond_subclusters(walk, first, offsets, subclusters)
        return
    inside = min(max(last, 0), len(offsets))
    rest = min(max(last + 1, 0), len(offsets))
    for start, stop, whole in ((0, inside, True), (inside, rest, True), (rest, len(offsets), False)):
        farthest = max(offsets[start:stop], default=0)
        if farthest:
            walk.end = max(walk.end, farthest + walk.length_of(first + start))
            walk.padded = max(walk.padded, farthest + size if whole else 0)


def _beyond_subclusters(walk: Walk, first: int, offsets: array[int], subclusters: array[int]) -> None:
    """Of 32 per cluster the low half of the bitmap says which are allocated; nothing of them is padded."""
    farthest = max(offsets)
    found = [at for at, offset in enumerate(offsets) if offset == farthest] if farthest else []
    for at in found[: walk.spend(len(found))]:
        length = (subclusters[at] & 0xFFFFFFFF).bit_length() * walk.cluster_size // 32
        walk.end = max(walk.end, farthest + min(length, walk.length_of(first + at)))


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
        told = list(islice(distinct, walk.spend(len(distinct))))
        end, inflated = check_compressed(walk.image, walk.draft, told, inflate=walk.inflations < MAX_INFLATIONS)
        walk.end, walk.inflations = max(walk.end, end), walk.inflations + inflated
    return wide ^ chosen
