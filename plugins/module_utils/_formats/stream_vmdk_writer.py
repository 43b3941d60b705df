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
from dataclasses import dataclass
from typing import Callable

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
    file, place = GatheredWrites(handle), _OVERHEAD_SECTORS * SECTOR

    def append(data: bytes) -> None:
        nonlocal place
        file.write(data, place)
        place += len(data)

    stream = _Stream(append, content.size)
    stream.fill(content, encoder, report)
    file.flush()
    head = stream.head(stream.identity, adapter_type=adapter_type, hardware_version=hardware_version)
    # The header last: a file that was cut off is no image.
    write_at(handle, head[SECTOR:], SECTOR)
    write_at(handle, head[:SECTOR], 0)
    os.fsync(handle)


@dataclass(frozen=True)
class Appended:
    """An image as it was written: its bytes, and how many bytes of the disk hold data."""

    size: int
    populated: int


def append_stream_vmdk(
    content: GuestContent,
    append: Callable[[bytes], None],
    *,
    identity: bytes,
    adapter_type: str,
    hardware_version: int,
    encoder: Encoder,
    report: Report,
) -> Appended:
    """Give `append` the image from its first byte to its last, as into the middle of an archive; its content ID comes of `identity`."""
    stream = _Stream(append, content.size)
    append(stream.head(identity, adapter_type=adapter_type, hardware_version=hardware_version))
    stream.fill(content, encoder, report)
    return Appended(stream.size, stream.populated)


class _Stream:
    """The image behind its head, as far as it is written: `_at` is the next sector."""

    def __init__(self, append: Callable[[bytes], None], size: int) -> None:
        self._append = append
        self._size = size
        self._capacity = -(-size // SECTOR)
        self._at = _OVERHEAD_SECTORS
        grains = -(-self._capacity // _GRAIN_SECTORS)
        self._directory = array("I", bytes(4 * -(-grains // TABLE_ENTRIES)))
        self._table = 0
        self._entries = array("I", bytes(4 * TABLE_ENTRIES))
        self._identity = hashlib.sha256(struct.pack("<Q", self._capacity))
        self._grains = 0

    @property
    def size(self) -> int:
        """Bytes of the image so far, with its head."""
        return self._at * SECTOR

    @property
    def populated(self) -> int:
        """Bytes of the disk that hold data."""
        return min(self._grains * GRAIN, self._size)

    @property
    def identity(self) -> bytes:
        """A digest of what was written."""
        return self._identity.digest()

    def fill(self, content: GuestContent, encoder: Encoder, report: Report) -> None:
        """Write all grains, and what is behind them."""

        def pack(number: int, data: bytes) -> Block:
            # The last grain ends with the disk.
            whole = data[: content.size - number * GRAIN]
            return Block(number, encoder.compress(whole, _MOST) or b"", True)

        store(content, block_size=GRAIN, pack=pack, add=self._add, report=report)
        self._close_table()
        directory = little_endian(self._directory)
        self._marker(_DIRECTORY_MARKER, -(-len(directory) // SECTOR))
        place = self._at
        self._store(directory)
        self._marker(FOOTER_MARKER, 1)
        self._store(self._header(place))
        self._marker(_END_MARKER, 0)

    def _add(self, block: Block) -> None:
        """Write one grain; their numbers ascend."""
        table, entry = divmod(block.number, TABLE_ENTRIES)
        if table != self._table:
            self._close_table()
            self._table = table
        self._entries[entry] = self._at
        self._grains += 1
        place = block.number * _GRAIN_SECTORS
        # A zlib stream ends with the checksum of what was compressed.
        self._identity.update(struct.pack("<Q", place) + block.data[-4:])
        self._store(_GRAIN_MARKER.pack(place, len(block.data)) + block.data)

    def _store(self, data: bytes) -> None:
        """Append whole sectors."""
        sectors = -(-len(data) // SECTOR)
        if self._at + sectors >= _MOST_SECTORS:
            raise Unsupported("A streamOptimized VMDK can't be larger than 2 TiB; choose another format.")
        self._append(data.ljust(sectors * SECTOR, b"\0"))
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

    def head(self, identity: bytes, *, adapter_type: str, hardware_version: int) -> bytes:
        """Header and descriptor, up to the first grain."""
        text = descriptor(
            self._capacity,
            create_type="streamOptimized",
            extent=STREAM_NAME,
            identity=identity,
            adapter_type=adapter_type,
            hardware_version=hardware_version,
        )
        return (self._header(AT_END).ljust(SECTOR, b"\0") + text).ljust(_OVERHEAD_SECTORS * SECTOR, b"\0")

    def _header(self, directory: int) -> bytes:
        return struct.pack(
            LAYOUT, VMDK_SPARSE, _VERSION, _FLAGS, self._capacity, _GRAIN_SECTORS, 1, _DESCRIPTOR_SECTORS, TABLE_ENTRIES,
            0, directory, _OVERHEAD_SECTORS, 0, LINE_ENDS, _DEFLATE,
        )  # fmt: skip
