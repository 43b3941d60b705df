# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A streamOptimized VMDK, written in one pass (VMware's Virtual Disk Format 5.0, "Stream-Optimized Compressed").

Sector  Content
     0  header, version 3; the grain directory's place is all ones: it is in the footer
  1..20  descriptor
   128  grains, each behind a marker with its place on the disk; behind the grains of a table a marker and the table
   then a marker and the grain directory, a marker and the footer, the end-of-stream marker

ESX takes a stream apart by its markers. It refuses files of version 1, files without an end-of-stream marker and grains out of
order; QEMU writes neither markers before its tables nor a footer, and the end-of-stream marker only by chance. So all of them
are written here, as VMware's own exports have them.
"""

from __future__ import annotations

import hashlib
import os
import struct
from array import array

from .._errors import Unsupported
from .compress_pool import Block, Report, store
from .encoder import Encoder
from .gathered_writes import GatheredWrites, write_at
from .guest_content import GuestContent
from .reader import SECTOR, little_endian
from .signatures import VMDK_SPARSE
from .vmdk_sparse import AT_END, COMPRESSED, FOOTER_MARKER, LAYOUT, LINE_ENDS, MARKERS
from .vmdk_text import STREAM_NAME, descriptor

GRAIN = 64 << 10
TABLE_ENTRIES = 512
_GRAIN_SECTORS = GRAIN // SECTOR
_FLAGS = 1 | COMPRESSED | MARKERS
_VERSION, _DEFLATE = 3, 1
_DESCRIPTOR_SECTORS, _OVERHEAD_SECTORS = 20, 128
_END_MARKER, _TABLE_MARKER, _DIRECTORY_MARKER = 0, 1, 2
_GRAIN_MARKER = struct.Struct("<QI")
# Readers give a compressed grain one sector more than a plain one.
_MOST = GRAIN + SECTOR - _GRAIN_MARKER.size
_MOST_SECTORS = 1 << 32


def write_stream_vmdk(
    content: GuestContent, handle: int, *, adapter_type: str, hardware_version: int, encoder: Encoder, report: Report
) -> None:
    """Write the image into the empty file `handle`, durably; `report` is called after every batch.

    Its content ID comes from the content, so the same content gives the same file. Raises Unsupported when the compressed
    disk doesn't fit into the format.
    """
    writer = _Writer(handle, -(-content.size // SECTOR))

    def pack(number: int, data: bytes) -> Block:
        # The last grain ends with the disk.
        whole = data[: content.size - number * GRAIN]
        return Block(number, encoder.compress(whole, _MOST) or b"", True)

    store(content, block_size=GRAIN, pack=pack, add=writer.add, report=report)
    writer.finish(adapter_type=adapter_type, hardware_version=hardware_version)
    os.fsync(handle)


class _Writer:
    """The stream as far as it is written: `_at` is the next sector."""

    def __init__(self, handle: int, capacity: int) -> None:
        self._handle = handle
        self._file = GatheredWrites(handle)
        self._capacity = capacity
        self._at = _OVERHEAD_SECTORS
        grains = -(-capacity // _GRAIN_SECTORS)
        self._directory = array("I", bytes(4 * -(-grains // TABLE_ENTRIES)))
        self._table = 0
        self._entries = array("I", bytes(4 * TABLE_ENTRIES))
        self._identity = hashlib.sha256(struct.pack("<Q", capacity))

    def add(self, block: Block) -> None:
        """Write one grain; their numbers ascend."""
        table, entry = divmod(block.number, TABLE_ENTRIES)
        if table != self._table:
            self._close_table()
            self._table = table
        self._entries[entry] = self._at
        place = block.number * _GRAIN_SECTORS
        # A zlib stream ends with the checksum of what was compressed.
        self._identity.update(struct.pack("<Q", place) + block.data[-4:])
        self._store(_GRAIN_MARKER.pack(place, len(block.data)) + block.data)

    def _store(self, data: bytes) -> None:
        """Append whole sectors."""
        sectors = -(-len(data) // SECTOR)
        if self._at + sectors >= _MOST_SECTORS:
            raise Unsupported("A streamOptimized VMDK can't be larger than 2 TiB; choose another format.")
        self._file.write(data.ljust(sectors * SECTOR, b"\0"), self._at * SECTOR)
        self._at += sectors

    def _marker(self, kind: int, sectors: int) -> None:
        self._store(struct.pack("<QII", sectors, 0, kind))

    def _close_table(self) -> None:
        """Write the grain table, if it names anything."""
        if any(self._entries):
            self._marker(_TABLE_MARKER, TABLE_ENTRIES * 4 // SECTOR)
            self._directory[self._table] = self._at
            self._store(little_endian(self._entries))
            self._entries = array("I", bytes(4 * TABLE_ENTRIES))

    def finish(self, *, adapter_type: str, hardware_version: int) -> None:
        """Write what is behind the grains, then what is before them; the header last."""
        self._close_table()
        directory = little_endian(self._directory)
        self._marker(_DIRECTORY_MARKER, -(-len(directory) // SECTOR))
        place = self._at
        self._store(directory)
        self._marker(FOOTER_MARKER, 1)
        self._store(self._header(place))
        self._marker(_END_MARKER, 0)
        text = descriptor(
            self._capacity,
            create_type="streamOptimized",
            extent=STREAM_NAME,
            identity=self._identity.digest(),
            adapter_type=adapter_type,
            hardware_version=hardware_version,
        )
        self._file.flush()
        write_at(self._handle, text, SECTOR)
        write_at(self._handle, self._header(AT_END), 0)

    def _header(self, directory: int) -> bytes:
        return struct.pack(
            LAYOUT, VMDK_SPARSE, _VERSION, _FLAGS, self._capacity, _GRAIN_SECTORS, 1, _DESCRIPTOR_SECTORS, TABLE_ENTRIES,
            0, directory, _OVERHEAD_SECTORS, 0, LINE_ENDS, _DEFLATE,
        )  # fmt: skip
