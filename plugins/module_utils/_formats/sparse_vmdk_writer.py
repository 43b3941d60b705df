# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A monolithicSparse VMDK, written in one pass (VMware's Virtual Disk Format 5.0, "Hosted Sparse Extents").

Sector  Content
     0  header, version 1; written last, so that a file cut off anywhere is no VMDK
  1..20  descriptor
    21  the redundant grain directory and its tables, then the grain directory and its tables, as for all that the disk can hold
     n  grains in the order of the disk, from a whole grain on

All tables have their place beforehand, as the format wants it, so one is written when its grains are; QEMU writes it anew for
each of them. A table without grains stays a hole.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from array import array

from .._errors import Unsupported
from .compress_pool import Block, Report, store
from .gathered_writes import GatheredWrites, write_at
from .guest_content import GuestContent
from .reader import SECTOR, little_endian
from .signatures import VMDK_SPARSE
from .vmdk_sparse import LAYOUT, LINE_ENDS, REDUNDANT
from .vmdk_text import descriptor

GRAIN = 64 << 10
TABLE_ENTRIES = 512
_GRAIN_SECTORS = GRAIN // SECTOR
_TABLE_SECTORS = TABLE_ENTRIES * 4 // SECTOR
_FLAGS = 1 | REDUNDANT
_DESCRIPTOR_SECTORS = 20
_TABLES_AT = 1 + _DESCRIPTOR_SECTORS
_MOST_SECTORS = 1 << 32


def write_sparse_vmdk(
    content: GuestContent, handle: int, *, name: str, adapter_type: str, hardware_version: int, report: Report
) -> None:
    """Write the image into the empty file `handle`, durably; `report` is called after every batch.

    `name` is the file's own, which its descriptor gives. The content ID comes from the content, so the same content gives the
    same file. Raises Unsupported when the disk doesn't fit into the format.
    """
    writer = _Writer(handle, -(-content.size // SECTOR))

    def pack(number: int, data: bytes) -> Block:
        return Block(number, data.ljust(GRAIN, b"\0"), False, zlib.crc32(data))

    store(content, block_size=GRAIN, pack=pack, add=writer.add, report=report)
    writer.finish(name=name, adapter_type=adapter_type, hardware_version=hardware_version)
    os.fsync(handle)


class _Writer:
    """The file as far as it is written: `_at` is the next grain's sector."""

    def __init__(self, handle: int, capacity: int) -> None:
        self._handle = handle
        self._file = GatheredWrites(handle)
        self._capacity = capacity
        self._tables = -(-capacity // (_GRAIN_SECTORS * TABLE_ENTRIES))
        self._area = -(-self._tables * 4 // SECTOR) + self._tables * _TABLE_SECTORS
        self._at = self._overhead = -(-(_TABLES_AT + 2 * self._area) // _GRAIN_SECTORS) * _GRAIN_SECTORS
        self._table = 0
        self._entries = array("I", bytes(4 * TABLE_ENTRIES))
        self._identity = hashlib.sha256(struct.pack("<Q", capacity))

    def add(self, block: Block) -> None:
        """Write one grain; their numbers ascend."""
        table, entry = divmod(block.number, TABLE_ENTRIES)
        if table != self._table:
            self._close_table()
            self._table = table
        if self._at + _GRAIN_SECTORS > _MOST_SECTORS:
            raise Unsupported("A monolithicSparse VMDK can't be larger than 2 TiB; choose another format.")
        self._entries[entry] = self._at
        self._identity.update(struct.pack("<QI", block.number, block.checksum))
        self._file.write(block.data, self._at * SECTOR)
        self._at += _GRAIN_SECTORS

    def _close_table(self) -> None:
        """Write the grain table and its copy, if it names anything."""
        if any(self._entries):
            data = little_endian(self._entries)
            for directory in self._directories():
                write_at(self._handle, data, self._place(directory, self._table) * SECTOR)
            self._entries = array("I", bytes(4 * TABLE_ENTRIES))

    def _directories(self) -> tuple[int, int]:
        """The sectors of the redundant directory and of the one in use."""
        return _TABLES_AT, _TABLES_AT + self._area

    def _place(self, directory: int, table: int) -> int:
        return directory + -(-self._tables * 4 // SECTOR) + table * _TABLE_SECTORS

    def finish(self, *, name: str, adapter_type: str, hardware_version: int) -> None:
        """Write what is before the grains, the header last."""
        self._close_table()
        self._file.flush()
        redundant, used = self._directories()
        for directory in (redundant, used):
            places = array("I", (self._place(directory, table) for table in range(self._tables)))
            write_at(self._handle, little_endian(places), directory * SECTOR)
        text = descriptor(
            self._capacity,
            create_type="monolithicSparse",
            extent=name,
            identity=self._identity.digest(),
            adapter_type=adapter_type,
            hardware_version=hardware_version,
        )
        os.ftruncate(self._handle, self._at * SECTOR)
        write_at(self._handle, text, SECTOR)
        header = struct.pack(
            LAYOUT, VMDK_SPARSE, 1, _FLAGS, self._capacity, _GRAIN_SECTORS, 1, _DESCRIPTOR_SECTORS, TABLE_ENTRIES,
            redundant, used, self._overhead, 0, LINE_ENDS, 0,
        )  # fmt: skip
        write_at(self._handle, header, 0)
