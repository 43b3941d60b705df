# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The block allocation table of VHDX ([MS-VHDX] 2.5): where each block of guest data lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .facts import Draft
from .reader import CHUNK, MAP_BUDGET, Malformed, Reader, check_capacity, check_end, entries, not_empty, unchecked
from .rules import finding
from .vhd_places import check_places

MIB = 1 << 20
# Sectors that one sector bitmap block describes; sets how often the table holds an entry for a bitmap block.
BITMAP_SECTORS = 1 << 23
STATE_MASK, OFFSET_MASK = 7, ~(MIB - 1)
PRESENT, PARTLY_PRESENT = 6, 7
# Not present, undefined, zero, unmapped (3 in the specification, 5 in drafts that QEMU knows too), present.
STATES = {0, 1, 2, 3, 5, PRESENT}


@dataclass
class _Seen:
    """What the walk has met: states of payload blocks, the farthest block, and how many."""

    states: set[int]
    last: int = -1
    stored: int = 0
    distinct: int = 0


def check_blocks(image: Reader, draft: Draft, table: tuple[int, int], own: Sequence[tuple[int, int]]) -> None:
    """Every block that is present must be in the file, each in a place of its own; `own` are the image's structures."""
    (offset, length), block = table, draft.cluster_size or MIB
    ratio = BITMAP_SECTORS * int(draft.header["logical_sector_size"]) // block
    blocks = -(-draft.virtual_size // block)
    needed = blocks + (blocks - 1) // ratio
    if needed * 8 > length:
        raise Malformed("table-bounds", f"The VHDX table of {length} bytes cannot hold {needed} entries.")
    seen = _Seen(set())
    for number, data in enumerate(image.chunks(offset, min(needed * 8, MAP_BUDGET), what="VHDX block table")):
        if not_empty(data):
            _look(draft, data, number * CHUNK // 8, ratio, own, seen)
    _check_states(draft, seen.states)
    if seen.stored > seen.distinct:
        draft.findings.append(finding("shared-table", "Entries of the VHDX table share blocks, an expansion bomb."))
    if seen.stored:
        final = image.exact(offset + (needed - 1) * 8, 8, what="VHDX block table")
        _check_last(image, draft, last=seen.last, final=int.from_bytes(final, "little") & OFFSET_MASK)
        check_capacity(draft, stored=(seen.distinct - 1) * block, available=image.size)
    if needed * 8 > MAP_BUDGET:
        unchecked(draft, what="block allocation table")


def _look(draft: Draft, data: bytes, first: int, ratio: int, own: Sequence[tuple[int, int]], seen: _Seen) -> None:
    """One piece of the table, so that the largest needs little memory; every (ratio + 1)th entry is a bitmap block."""
    payload = [
        value for at, value in enumerate(entries(data, code="Q", big_endian=False), first) if (at + 1) % (ratio + 1)
    ]
    seen.states |= {value & STATE_MASK for value in payload}
    present = [value & OFFSET_MASK for value in payload if value & STATE_MASK in (PRESENT, PARTLY_PRESENT)]
    places = set(present)
    seen.last = max(places | {seen.last})
    seen.stored, seen.distinct = seen.stored + len(present), seen.distinct + len(places)
    check_places(draft, places, length=draft.cluster_size or MIB, areas=own, what="VHDX table")


def _check_states(draft: Draft, states: set[int]) -> None:
    """States that the format doesn't have, or has only with a parent."""
    wrong = states - STATES - ({PARTLY_PRESENT} if draft.variant == "differencing" else set())
    if wrong:
        draft.findings.append(
            finding("table-bounds", f"The VHDX table gives a block the state {min(wrong)}, which it can't have here.")
        )


def _check_last(image: Reader, draft: Draft, *, last: int, final: int) -> None:
    """The disk's final block need not be padded, which QEMU accepts as well."""
    block = draft.cluster_size or MIB
    tail = draft.virtual_size % block
    end = last + (tail if tail and last == final else block)
    check_end(image, draft, end=end, padded=last + block, what="last block")
