# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grain directories and grain tables of VMDK's sparse extents: bounds, truncation, sharing, and their redundant copy."""

from __future__ import annotations

from dataclasses import dataclass

from .facts import Draft
from .reader import (
    SECTOR,
    TABLE_BUDGET,
    TABLE_COUNT,
    Malformed,
    Reader,
    check_capacity,
    check_end,
    entries,
    not_empty,
    unchecked,
)
from .rules import finding

GRAIN_MARKER = 12
# So many tables are compared with their copies: those of an empty disk are the first, and differences are rare.
COMPARED = 64


@dataclass(frozen=True)
class Tables:
    """Where the tables are and what they hold; places are sectors. `floor` is where grains may begin, 0 for anywhere."""

    directory: int
    spare: int | None
    count: int
    table_entries: int
    grain_sectors: int
    compressed: bool
    floor: int


def check_tables(image: Reader, draft: Draft, tables: Tables) -> None:
    """Both grain directories, then the grain tables of the one in use."""
    if tables.count * 4 > TABLE_BUDGET:
        raise Malformed("absurd-size", f"The grain directory would have {tables.count} entries.")
    main = _directory(image, tables.directory, tables.count)
    spare = _directory(image, tables.spare, tables.count) if tables.spare is not None else []
    check_end(image, draft, end=max(spare, default=0) * SECTOR, what="redundant grain table")
    used = [table for table in main if table]
    if len(set(used)) < len(used):
        draft.findings.append(
            finding("shared-table", "Two parts of the disk share one grain table, an expansion bomb.")
        )
    _compare(image, draft, tables, main, spare)
    _walk(image, draft, tables, used, _floor(tables, used, spare))


def _directory(image: Reader, sector: int, count: int) -> list[int]:
    found: list[int] = []
    for data in image.chunks(sector * SECTOR, count * 4, what="grain directory"):
        found += entries(data, code="I", big_endian=False)
    return found


def _floor(tables: Tables, used: list[int], spare: list[int]) -> int:
    """The first sector behind all structures: guest data in front of it could rewrite them."""
    if not tables.floor:
        return 0
    length = -(-tables.table_entries * 4 // SECTOR)
    directory = -(-tables.count * 4 // SECTOR)
    ends = [place + directory for place in (tables.directory, tables.spare) if place is not None]
    ends += [place + length for place in (max(used, default=0), max(spare, default=0)) if place]
    return max(tables.floor, *ends)


def _compare(image: Reader, draft: Draft, tables: Tables, main: list[int], spare: list[int]) -> None:
    """Readers use the first directory; a copy that differs tells of a writer that was cut off."""
    length = tables.table_entries * 4
    for one, other in list(zip(main, spare))[:COMPARED]:
        if image.upto(one * SECTOR, length) != image.upto(other * SECTOR, length):
            draft.findings.append(
                finding("unclean", "The redundant grain tables of the VMDK differ from those in use.")
            )
            return


def _walk(image: Reader, draft: Draft, tables: Tables, used: list[int], floor: int) -> None:
    length, last, stored, packed, lowest = tables.table_entries * 4, 0, 0, 0, 1 << 32
    for table in used[:TABLE_COUNT]:
        data = image.exact(table * SECTOR, length, what="grain table")
        if not_empty(data):
            values = entries(data, code="I", big_endian=False)
            grains = set(values) - {0, 1}
            last, lowest = max(grains | {last}), min(grains | {lowest})
            stored += len(values) - values.count(0) - values.count(1)
            packed += len(grains)
    if stored > packed:
        draft.findings.append(finding("shared-table", "Grains are shared within a grain table, an expansion bomb."))
    if last and lowest < floor:
        draft.findings.append(finding("table-overlap", "A grain of the VMDK lies on its own tables or descriptor."))
    if last:
        _check_last(image, draft, tables, last * SECTOR, stored)
    if len(used) > TABLE_COUNT:
        unchecked(draft, what="set of grain tables")


def _check_last(image: Reader, draft: Draft, tables: Tables, last: int, stored: int) -> None:
    """The farthest grain: whole, or for a compressed one as long as its marker says."""
    grain = tables.grain_sectors * SECTOR
    length = grain
    if tables.compressed:
        marker = image.upto(last, GRAIN_MARKER)
        length = GRAIN_MARKER + int.from_bytes(marker[8:12], "little")
    else:
        check_capacity(draft, stored=(stored - 1) * grain, available=image.size)
    check_end(image, draft, end=last + length, what="last grain")
