# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A qcow2 image without compression whose layout follows from the numbers of its blocks (QEMU's docs/interop/qcow2.txt).

Header, refcount table, refcount blocks, L1 table, L2 tables, and then the data in the guest's order, all in clusters of 64 KiB:
where each block will be is known before the first one is there, so they can come in any order. The header is written last.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Sequence

from .._errors import InvalidOption
from .qcow2_header import LAYOUT_V2, LAYOUT_V3
from .reader import SECTOR, entries
from .signatures import QCOW2

CLUSTER = 1 << 16
_PER_TABLE = CLUSTER // 8
_PER_REFCOUNT_BLOCK = CLUSTER // 2
_COPIED = 1 << 63
_HEADER_LENGTH = 104
_REFCOUNT_ORDER = 4
# The longest L1 table that QEMU opens (block/qcow2.h).
_MOST_L1 = (32 << 20) // 8


class PlainQcow2:
    """The layout of a disk of `size` bytes with data in the clusters `numbers`, which ascend.

    `data_start` is where the first of them lies, `file_size` what the whole file has.
    """

    def __init__(self, size: int, numbers: Sequence[int]) -> None:
        self._size = -(-size // SECTOR) * SECTOR
        self._numbers = numbers
        self._l1_entries = max(1, -(-self._size // (CLUSTER * _PER_TABLE)))
        if self._l1_entries > _MOST_L1:
            raise InvalidOption(
                f"A disk of {size} bytes is more than a qcow2 image with clusters of 64 KiB can have (2 PiB)."
            )
        self._tables = _tables_of(numbers)
        l1_clusters = -(-self._l1_entries * 8 // CLUSTER)
        fixed = 1 + l1_clusters + len(self._tables) + len(numbers)
        self._table_clusters, self._blocks = _refcounts_of(fixed)
        self._l1_at = (1 + self._table_clusters + self._blocks) * CLUSTER
        self._l2_at = self._l1_at + l1_clusters * CLUSTER
        self.data_start = self._l2_at + len(self._tables) * CLUSTER
        self.file_size = self.data_start + len(numbers) * CLUSTER

    def offset(self, index: int) -> int:
        """Where in the file the cluster `numbers[index]` lies."""
        return self.data_start + index * CLUSTER

    def tables(self) -> bytes:
        """All between header and data; it begins at the second cluster."""
        places = (CLUSTER * (1 + self._table_clusters + number) for number in range(self._blocks))
        pieces = [
            _padded(array("Q", places), self._table_clusters),
            _padded(array("H", [1]) * (self.file_size // CLUSTER), self._blocks),
            _padded(self._l1(), (self._l2_at - self._l1_at) // CLUSTER),
            *map(self._l2, range(len(self._tables))),
        ]
        return b"".join(pieces)

    def _l1(self) -> array[int]:
        found = array("Q", bytes(8 * self._l1_entries))
        for position, (table, _first, _end) in enumerate(self._tables):
            found[table] = (self._l2_at + position * CLUSTER) | _COPIED
        return found

    def _l2(self, position: int) -> bytes:
        table, first, end = self._tables[position]
        found = array("Q", bytes(CLUSTER))
        start = table * _PER_TABLE
        for index in range(first, end):
            found[self._numbers[index] - start] = (self.data_start + index * CLUSTER) | _COPIED
        return _big_endian(found)

    def header(self) -> bytes:
        """The first cluster's content; without it the file is no image."""
        head = struct.pack(
            LAYOUT_V2, QCOW2, 3, 0, 0, CLUSTER.bit_length() - 1, self._size, 0,
            self._l1_entries, self._l1_at, CLUSTER, self._table_clusters, 0, 0,
        )  # fmt: skip
        # A header extension of type 0 ends the list of them.
        return head + struct.pack(LAYOUT_V3, 0, 0, 0, _REFCOUNT_ORDER, _HEADER_LENGTH) + bytes(8)


def _tables_of(numbers: Sequence[int]) -> list[tuple[int, int, int]]:
    """For each L2 table that names data its number, and which of `numbers` are in it."""
    found, at = [], 0
    while at < len(numbers):
        table = numbers[at] // _PER_TABLE
        end = bisect_left(numbers, (table + 1) * _PER_TABLE, at)
        found.append((table, at, end))
        at = end
    return found


def _refcounts_of(others: int) -> tuple[int, int]:
    """Clusters of the refcount table, and refcount blocks; both are counted too, beside `others`."""
    tables = blocks = 0
    while blocks * _PER_REFCOUNT_BLOCK < others + blocks + tables:
        blocks = -(-(others + blocks + tables) // _PER_REFCOUNT_BLOCK)
        tables = -(-blocks * 8 // CLUSTER)
    return tables, blocks


def _padded(values: array[int], clusters: int) -> bytes:
    return _big_endian(values).ljust(clusters * CLUSTER, b"\0")


def _big_endian(values: array[int]) -> bytes:
    return entries(values.tobytes(), code=values.typecode, big_endian=True).tobytes()
