# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a GUID partition table (UEFI 2.10, section 5.3); the same partitions give the same bytes. Its layout is told in gpt.py."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO
from uuid import UUID

from .gpt import ENTRY, LAYOUT, MAGIC, SMALLEST

SECTOR = 512
BIOS_BOOT = UUID("21686148-6449-6e6f-744e-656564454649")
EFI_SYSTEM = UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
# The Discoverable Partitions Specification's root of x86-64, which systemd finds by itself.
ROOT_X86_64 = UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
_REVISION = 0x00010000
_ENTRIES, _ENTRY_SIZE = 128, 128
_TABLE = _ENTRIES * _ENTRY_SIZE // SECTOR
_MBR_ENTRY = "<B3sB3sII"
_MOST_MBR = 0xFFFFFFFF


@dataclass(frozen=True)
class NewPartition:
    """A partition to write; `start` and `size` are bytes, whole sectors."""

    kind: UUID
    own: UUID
    start: int
    size: int
    name: str


def write_gpt(
    stream: BinaryIO, *, size: int, disk: UUID, partitions: Sequence[NewPartition], boot_code: bytes = b""
) -> None:
    """Write both halves of the table of a disk of `size` bytes, and the protective MBR with `boot_code` before it."""
    last = size // SECTOR - 1
    entries = b"".join(map(_entry, partitions)).ljust(_ENTRIES * _ENTRY_SIZE, b"\0")
    stream.seek(0)
    stream.write(_mbr(boot_code, last))
    stream.write(_header(1, last, 2, last=last, disk=disk, entries=entries))
    stream.write(entries)
    stream.seek((last - _TABLE) * SECTOR)
    stream.write(entries)
    stream.write(_header(last, 1, last - _TABLE, last=last, disk=disk, entries=entries))


def _mbr(boot_code: bytes, last: int) -> bytes:
    protective = struct.pack(_MBR_ENTRY, 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, min(last, _MOST_MBR))
    return boot_code[:440].ljust(446, b"\0") + protective.ljust(64, b"\0") + b"\x55\xaa"


def _entry(one: NewPartition) -> bytes:
    first, end = one.start // SECTOR, (one.start + one.size) // SECTOR - 1
    return struct.pack(ENTRY, one.kind.bytes_le, one.own.bytes_le, first, end, 0, one.name.encode("utf-16-le"))


def _header(here: int, other: int, entries_at: int, *, last: int, disk: UUID, entries: bytes) -> bytes:
    first_usable, last_usable = 2 + _TABLE, last - _TABLE - 1

    def packed(crc: int) -> bytes:
        return struct.pack(
            LAYOUT, MAGIC, _REVISION, SMALLEST, crc, here, other, first_usable, last_usable, disk.bytes_le, entries_at,
            _ENTRIES, _ENTRY_SIZE, zlib.crc32(entries),
        )  # fmt: skip

    return packed(zlib.crc32(packed(0)[:SMALLEST])).ljust(SECTOR, b"\0")
