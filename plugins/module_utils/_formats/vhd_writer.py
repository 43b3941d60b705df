# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fixed VHD: the disk as it is, and a footer (Microsoft's Virtual Hard Disk Image Format Specification 1.0)."""

from __future__ import annotations

import hashlib
import os
import struct

from .compress_pool import Report
from .gathered_writes import write_at
from .guest_content import GuestContent
from .raw_writer import write_raw
from .reader import SECTOR
from .signatures import VHD
from .vhd import CHECKSUM_AT, LAYOUT, MAX_GEOMETRY_SECTORS, VERSION

_RESERVED_FEATURE, _FIXED = 2, 2
_NO_OFFSET = (1 << 64) - 1
# Readers take the size of this creator's disks from the size field, and not from the geometry.
_CREATOR, _CREATOR_VERSION, _WINDOWS = b"win ", 0x00060003, b"Wi2k"


def write_fixed_vhd(content: GuestContent, handle: int, *, size: int, report: Report) -> None:
    """Write the image of a disk of `size` bytes, which is at least the content's, into the empty file `handle`, durably."""
    write_raw(content, handle, report=report)
    write_at(handle, footer(size), size)
    os.fsync(handle)


def footer(size: int) -> bytes:
    """The footer of a fixed disk; without a time, and with an identity that comes of the size, so that equal disks are equal files."""
    cylinders, heads, sectors = geometry(size // SECTOR)
    identity = hashlib.sha256(b"imageops.fleet %d" % size).digest()[:16]
    fields = bytearray(
        struct.pack(
            LAYOUT, VHD, _RESERVED_FEATURE, VERSION, _NO_OFFSET, 0, _CREATOR, _CREATOR_VERSION, _WINDOWS, size, size,
            cylinders, heads, sectors, _FIXED, 0, identity, 0,
        ).ljust(SECTOR, b"\0")
    )  # fmt: skip
    fields[CHECKSUM_AT : CHECKSUM_AT + 4] = struct.pack(">I", ~sum(fields) & 0xFFFFFFFF)
    return bytes(fields)


def geometry(total: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors of a track for so many sectors (the specification's appendix, "CHS calculation")."""
    total = min(total, MAX_GEOMETRY_SECTORS)
    if total >= 65535 * 16 * 63:
        sectors, heads = 255, 16
        return total // sectors // heads, heads, sectors
    sectors = 17
    rows = total // sectors
    heads = max(4, (rows + 1023) // 1024)
    if rows >= heads * 1024 or heads > 16:
        sectors, heads = 31, 16
        rows = total // sectors
    if rows >= heads * 1024:
        sectors, heads = 63, 16
        rows = total // sectors
    return rows // heads, heads, sectors
