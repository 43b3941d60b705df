# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The GUID partition table (UEFI 2.10, section 5.3): a header behind the protective MBR, a second one at the end.

Offset  Size  Field (little endian)      Offset  Size  Field
     0     8  "EFI PART"                    40     8  first usable sector
     8     4  revision                      48     8  last usable sector
    12     4  header size                   56    16  disk GUID
    16     4  CRC-32 of the header          72     8  first sector of the entries
    24     8  this header's sector          80     4  number of entries
    32     8  the other header's sector     84     4  size of an entry
                                            88     4  CRC-32 of the entries
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from .mbr import Partition
from .reader import Reader

MAGIC = b"EFI PART"
LAYOUT = "<8sIII4xQQQQ16sQIII"
SMALLEST, CRC_AT = 92, 16
SECTORS = (512, 4096)
ENTRY = "<16s16sQQQ72s"
MIN_ENTRY, MAX_ENTRY, MAX_ENTRIES = 128, 4096, 1024


@dataclass(frozen=True)
class Header:
    """One of the two headers, and whether its checksums are right."""

    sector: int
    at: int
    other: int
    disk: str
    entries_at: int
    count: int
    entry_size: int
    entries_crc: int


def sector_size(image: Reader) -> int | None:
    """The size of the sectors in whose second one a header stands."""
    return next((size for size in SECTORS if image.upto(size, len(MAGIC)) == MAGIC), None)


def read(image: Reader, problems: list[str]) -> dict[str, Any] | None:
    """What the table says, from the second header where the first is damaged; None when there is neither."""
    size = sector_size(image)
    first = _header(image, size, 1) if size else None
    last = _last(image, first, size)
    chosen = first or last
    if not chosen:
        if size:
            problems.append("Both GPT headers are damaged or not there.")
        return None
    _compare(problems, first, last, image)
    return {
        "type": "gpt",
        "sector_size": chosen.sector,
        "disk_id": chosen.disk,
        "primary": "valid" if first else "damaged",
        "backup": _state(image, last),
        "partitions": _partitions(image, chosen, problems),
    }


def _header(image: Reader, sector: int, at: int) -> Header | None:
    """The header in that sector, if its checksum and its numbers can be."""
    data = image.upto(at * sector, sector)
    if len(data) < sector or data[: len(MAGIC)] != MAGIC:
        return None
    _magic, _revision, size, crc, here, other, _first, _last_usable, disk, entries, count, each, entries_crc = (
        struct.unpack_from(LAYOUT, data)
    )
    if not SMALLEST <= size <= sector or here != at:
        return None
    if zlib.crc32(data[:CRC_AT] + bytes(4) + data[CRC_AT + 4 : size]) != crc:
        return None
    return Header(sector, at, other, str(UUID(bytes_le=disk)), entries, count, each, entries_crc)


def _last(image: Reader, first: Header | None, size: int | None) -> Header | None:
    """The second header, where the first one says or in the last sector."""
    for sector in [size] if size else SECTORS:
        end = image.size // sector - 1
        for at in {first.other if first else end: 0, end: 0}:
            found = _header(image, sector, at) if 1 < at <= end else None
            if found:
                return found
    return None


def _state(image: Reader, last: Header | None) -> str:
    """A disk that was made larger has its second header no longer at its end, which is lawful."""
    if not last:
        return "damaged"
    return "valid" if last.at == image.size // last.sector - 1 else "not at the end"


def _compare(problems: list[str], first: Header | None, last: Header | None, image: Reader) -> None:
    if not first:
        problems.append("The first GPT header is damaged.")
    elif not last:
        problems.append("The second GPT header is damaged or not there.")
    elif (first.disk, first.count, first.entry_size, first.entries_crc) != (
        last.disk,
        last.count,
        last.entry_size,
        last.entries_crc,
    ):
        problems.append("The two GPT headers disagree.")


def _partitions(image: Reader, header: Header, problems: list[str]) -> list[Partition]:
    size = header.entry_size
    if size % MIN_ENTRY or not MIN_ENTRY <= size <= MAX_ENTRY or not header.count <= MAX_ENTRIES:
        problems.append(f"The GPT claims {header.count} entries of {size} bytes.")
        return []
    data = image.upto(header.entries_at * header.sector, header.count * size)
    if zlib.crc32(data) != header.entries_crc or len(data) < header.count * size:
        problems.append("The checksum of the GPT entries is wrong.")
    found = []
    for number in range(len(data) // size):
        kind, _own, start, end, _flags, name = struct.unpack_from(ENTRY, data, number * size)
        if any(kind):
            found.append(_partition(number + 1, kind, start, end, name, header.sector))
    return found


def _partition(number: int, kind: bytes, start: int, end: int, name: bytes, sector: int) -> Partition:
    return Partition(
        number=number,
        start=start * sector,
        size=max(end - start + 1, 0) * sector,
        type=str(UUID(bytes_le=kind)),
        name=name.decode("utf-16-le", "replace").split("\0", 1)[0],
    )
