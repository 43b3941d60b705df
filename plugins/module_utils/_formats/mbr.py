# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The partition table in the first sector of a disk, and the chain of extended boot records with its logical partitions.

A row has 16 bytes (little endian): status, CHS of the start (3), type, CHS of the end (3), first sector, sectors.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .reader import SECTOR, Reader

MARK_AT, MARK = 510, b"\x55\xaa"
ROWS_AT, ROW, ROWS = 446, "<B3xB3xII", 4
EXTENDED = (0x05, 0x0F, 0x85)
PROTECTIVE = 0xEE
FIRST_LOGICAL = 5
MAX_LOGICAL = 128


@dataclass(frozen=True)
class Row:
    """One partition, in sectors."""

    status: int
    kind: int
    start: int
    count: int


@dataclass(frozen=True)
class Partition:
    """One partition of any table, in bytes; type is a number for MBR and a GUID for GPT."""

    number: int
    start: int
    size: int
    type: str
    name: str | None = None


def read_rows(image: Reader, at: int = 0) -> list[Row]:
    """The four rows of a boot record; none where there is no table.

    The mark alone, which file systems carry too, is no table: a status is 0x00 or 0x80, and something must be there.
    """
    data = image.upto(at, SECTOR)
    if data[MARK_AT:SECTOR] != MARK:
        return []
    rows = [Row(*struct.unpack_from(ROW, data, ROWS_AT + 16 * number)) for number in range(ROWS)]
    return [] if any(row.status & 0x7F for row in rows) or not any(row.kind for row in rows) else rows


def partitions(image: Reader, rows: list[Row], problems: list[str]) -> list[Partition]:
    """The primary partitions and the logical ones in the extended of them."""
    found = [_partition(number, row, 0) for number, row in enumerate(rows, start=1) if row.kind]
    for row in rows:
        if row.kind in EXTENDED:
            found += _logical(image, row.start, problems, len(found) - len([one for one in rows if one.kind]))
    return found


def _partition(number: int, row: Row, base: int) -> Partition:
    return Partition(number, (base + row.start) * SECTOR, row.count * SECTOR, f"{row.kind:#04x}")


def _logical(image: Reader, base: int, problems: list[str], before: int) -> Iterator[Partition]:
    """Each extended boot record names one partition, from itself on, and the next record, from the first one on."""
    at, seen, number = base, set[int](), FIRST_LOGICAL + before
    while at not in seen and len(seen) < MAX_LOGICAL:
        seen.add(at)
        rows = read_rows(image, at * SECTOR)
        if not rows:
            return
        for row in rows[:2]:
            if row.kind and row.kind not in EXTENDED and row.count:
                yield _partition(number, row, at)
                number += 1
        following = next((row.start for row in rows[:2] if row.kind in EXTENDED), 0)
        if not following:
            return
        at = base + following
    problems.append("The extended boot records form a loop, or are more than can be.")


def has_boot_mark(image: Reader) -> bool:
    """Whether a BIOS would start the first sector."""
    return image.upto(MARK_AT, len(MARK)) == MARK
