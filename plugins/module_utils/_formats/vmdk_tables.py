# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grain directories and grain tables of VMDK's sparse extents: bounds, truncation, sharing, and their redundant copy."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from .facts import Draft
from .reader import (
    MAP_BUDGET,
    SECTOR,
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


@dataclass
class _Directory:
    """What is known of a grain directory: its first entries, the first tables it names, and facts of all of them."""

    first: Sequence[int] = ()
    used: array[int] = field(default_factory=lambda: array("I"))
    total: int = 0
    farthest: int = 0
    shared: bool = False


def check_tables(image: Reader, draft: Draft, tables: Tables) -> None:
    """Both grain directories, then the grain tables of the one in use."""
    if tables.count * 4 > MAP_BUDGET:
        raise Malformed("absurd-size", f"The grain directory would have {tables.count} entries.")
    main = _directory(image, tables.directory, tables.count)
    spare = _directory(image, tables.spare, tables.count) if tables.spare is not None else _Directory()
    check_end(image, draft, end=spare.farthest * SECTOR, what="redundant grain table")
    if main.total:
        # Of many tables not all are read.
        check_end(image, draft, end=main.farthest * SECTOR + tables.table_entries * 4, what="last grain table")
    if main.shared or _overfull(image, tables, main):
        draft.findings.append(
            finding("shared-table", "Two parts of the disk share one grain table, an expansion bomb.")
        )
    _compare(image, draft, tables, main, spare)
    _walk(image, draft, tables, main, _floor(tables, main, spare))


def _directory(image: Reader, sector: int, count: int) -> _Directory:
    """Piece by piece, so that the largest needs little memory; tables shared between pieces exceed the capacity."""
    found = _Directory()
    for data in image.chunks(sector * SECTOR, count * 4, what="grain directory"):
        values = entries(data, code="I", big_endian=False)
        found.first = found.first or values[:COMPARED]
        if not_empty(data):
            _note(found, values)
    return found


def _note(found: _Directory, values: array[int]) -> None:
    places, number = set(values) - {0}, len(values) - values.count(0)
    found.shared = found.shared or len(places) < number
    found.farthest, found.total = max(found.farthest, *places), found.total + number
    if len(found.used) < TABLE_COUNT:
        found.used.extend([value for value in values if value][: TABLE_COUNT - len(found.used)])


def _overfull(image: Reader, tables: Tables, main: _Directory) -> bool:
    """Whether a whole file has no room for so many tables; one that was cut says nothing."""
    length = tables.table_entries * 4
    return main.farthest * SECTOR + length <= image.size < main.total * length


def _floor(tables: Tables, main: _Directory, spare: _Directory) -> int:
    """The first sector behind all structures: guest data in front of it could rewrite them."""
    if not tables.floor:
        return 0
    length = -(-tables.table_entries * 4 // SECTOR)
    directory = -(-tables.count * 4 // SECTOR)
    ends = [place + directory for place in (tables.directory, tables.spare) if place is not None]
    ends += [place + length for place in (main.farthest, spare.farthest) if place]
    return max(tables.floor, *ends)


def _compare(image: Reader, draft: Draft, tables: Tables, main: _Directory, spare: _Directory) -> None:
    """Readers use the first directory; a copy that differs tells of a writer that was cut off."""
    length = tables.table_entries * 4
    for one, other in zip(main.first, spare.first):
        if image.upto(one * SECTOR, length) != image.upto(other * SECTOR, length):
            draft.findings.append(
                finding("unclean", "The redundant grain tables of the VMDK differ from those in use.")
            )
            return


def _walk(image: Reader, draft: Draft, tables: Tables, main: _Directory, floor: int) -> None:
    length, last, stored, packed, lowest = tables.table_entries * 4, 0, 0, 0, 1 << 32
    for table in main.used:
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
    if main.total > TABLE_COUNT:
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
