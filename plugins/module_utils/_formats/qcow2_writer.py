# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A qcow2 image with compressed clusters, written in one pass (QEMU's docs/interop/qcow2.txt).

Data, then each L2 table when the clusters it names are written, then the L1 table and the refcounts; the header comes last, so
that a file cut off anywhere is no qcow2 image. Compressed clusters are packed without gaps, as QEMU packs them; clusters that
don't shrink are stored as they are, clusters of zeros not at all.
"""

from __future__ import annotations

import os
import struct
from array import array

from .compress_pool import Block, Report, store
from .encoder import DEFLATE, Encoder
from .gathered_writes import GatheredWrites, write_at
from .guest_content import GuestContent
from .qcow2 import COMPRESSION
from .qcow2_compressed import start_bits
from .qcow2_header import LAYOUT_V2, LAYOUT_V3
from .reader import SECTOR, entries
from .signatures import QCOW2

_COPIED, _COMPRESSED = 1 << 63, 1 << 62
_HEADER_LENGTH = 112
_REFCOUNT_ORDER = 4
_REFCOUNT_BYTES = 2


def write_qcow2(
    content: GuestContent, handle: int, *, cluster_size: int, version: int, encoder: Encoder, report: Report
) -> None:
    """Write the image into the empty file `handle`, durably.

    `report` is called after every batch.
    """
    writer = _Writer(handle, cluster_size, content.size)

    def pack(number: int, data: bytes) -> Block:
        found = encoder.compress(data, cluster_size - 1)
        return Block(number, data, False) if found is None else Block(number, found, True)

    store(content, block_size=cluster_size, pack=pack, add=writer.add, report=report)
    writer.finish(version, encoder.compression_type if encoder else DEFLATE)
    os.fsync(handle)


class _Writer:
    """The file as far as it is written: `_end` is where the next free cluster begins, `_packed` the next compressed byte."""

    def __init__(self, handle: int, cluster_size: int, size: int) -> None:
        self._handle = handle
        self._file = GatheredWrites(handle)
        self._cluster = cluster_size
        self._size = size
        self._per_table = cluster_size // 8
        self._shift = start_bits(cluster_size)
        self._end = self._packed = cluster_size
        self._refcounts = array("H", [1])
        self._l1 = array("Q", bytes(8 * max(1, -(-size // (cluster_size * self._per_table)))))
        self._table = 0
        self._entries = array("Q", bytes(cluster_size))

    def add(self, block: Block) -> None:
        """Write one cluster; their numbers ascend."""
        table, entry = divmod(block.number, self._per_table)
        if table != self._table:
            self._close_table()
            self._table = table
        self._entries[entry] = self._compressed(block.data) if block.compressed else self._plain(block.data)

    def _plain(self, data: bytes) -> int:
        return self._store(data) | _COPIED

    def _store(self, data: bytes) -> int:
        """Put whole clusters at the end; where they are."""
        at = self._end
        count = -(-len(data) // self._cluster)
        self._refcounts.extend([1] * count)
        self._end += count * self._cluster
        self._file.write(data, at)
        return at

    def _compressed(self, data: bytes) -> int:
        """Append to what is packed, unless a plain cluster is in the way; the descriptor."""
        rest = -self._packed % self._cluster
        if len(data) > rest and self._packed + rest != self._end:
            self._packed = self._end
        at, last = self._packed, self._packed + len(data) - 1
        self._packed = last + 1
        while self._end <= last:
            self._refcounts.append(0)
            self._end += self._cluster
        for cluster in range(at // self._cluster, last // self._cluster + 1):
            self._refcounts[cluster] += 1
        self._file.write(data, at)
        return at | (last // SECTOR - at // SECTOR) << self._shift | _COMPRESSED

    def _close_table(self) -> None:
        """Write the L2 table, if it names anything."""
        if any(self._entries):
            self._l1[self._table] = self._store(_big_endian(self._entries)) | _COPIED
            self._entries = array("Q", bytes(self._cluster))

    def finish(self, version: int, compression_type: int) -> None:
        """Write what is left: the last L2 table, the L1 table, the refcounts and the header."""
        self._close_table()
        l1 = self._store(_big_endian(self._l1))
        table, clusters = self._store_refcounts()
        head = struct.pack(
            LAYOUT_V2, QCOW2, version, 0, 0, self._cluster.bit_length() - 1, self._size, 0,
            len(self._l1), l1, table, clusters, 0, 0,
        )  # fmt: skip
        if version > 2:
            features = COMPRESSION if compression_type else 0
            head += struct.pack(LAYOUT_V3, features, 0, 0, _REFCOUNT_ORDER, _HEADER_LENGTH)
            head += bytes([compression_type]).ljust(8, b"\0")
        self._file.flush()
        os.ftruncate(self._handle, self._end)
        write_at(self._handle, head, 0)

    def _store_refcounts(self) -> tuple[int, int]:
        """The refcount blocks and the table that names them; both are counted too. Offset and clusters of the table."""
        per_block = self._cluster // _REFCOUNT_BYTES
        used = len(self._refcounts)
        blocks = tables = 0
        while blocks * per_block < used + blocks + tables:
            blocks = -(-(used + blocks + tables) // per_block)
            tables = -(-blocks * 8 // self._cluster)
        counts = self._refcounts + array("H", [1] * (blocks + tables))
        counts.extend([0] * (blocks * per_block - len(counts)))
        first = self._store(_big_endian(counts))
        places = array("Q", (first + number * self._cluster for number in range(blocks)))
        return self._store(_big_endian(places)), tables


def _big_endian(values: array[int]) -> bytes:
    return entries(values.tobytes(), code=values.typecode, big_endian=True).tobytes()
