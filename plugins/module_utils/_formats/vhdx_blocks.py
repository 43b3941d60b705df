# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The block allocation table of VHDX: where each block of guest data lies."""

from __future__ import annotations

from .facts import Draft
from .reader import CHUNK, MAP_BUDGET, Malformed, Reader, check_capacity, check_end, entries, not_empty, unchecked
from .rules import finding

MIB = 1 << 20
# Sectors that one sector bitmap block describes; sets how often the table holds an entry for a bitmap block.
BITMAP_SECTORS = 1 << 23
STATE_MASK, OFFSET_MASK = 7, ~(MIB - 1)
PRESENT, PARTLY_PRESENT = 6, 7


def check_blocks(image: Reader, draft: Draft, offset: int, length: int) -> None:
    """Every block that is present must be in the file, each in a place of its own."""
    block = draft.cluster_size or MIB
    ratio = BITMAP_SECTORS * int(draft.header["logical_sector_size"]) // block
    blocks = -(-draft.virtual_size // block)
    needed = blocks + (blocks - 1) // ratio
    if needed * 8 > length:
        raise Malformed("table-bounds", f"The VHDX table of {length} bytes cannot hold {needed} entries.")
    found = _present(image, offset, min(needed * 8, MAP_BUDGET), ratio)
    if len(set(found)) < len(found):
        draft.findings.append(finding("shared-table", "Entries of the VHDX table share blocks, an expansion bomb."))
    if found:
        final = image.exact(offset + (needed - 1) * 8, 8, what="VHDX block table")
        _check_last(image, draft, last=max(found), final=int.from_bytes(final, "little") & OFFSET_MASK)
        check_capacity(draft, stored=(len(set(found)) - 1) * block, available=image.size)
    if needed * 8 > MAP_BUDGET:
        unchecked(draft, what="block allocation table")


def _check_last(image: Reader, draft: Draft, *, last: int, final: int) -> None:
    """The disk's final block need not be padded, which QEMU accepts as well."""
    block = draft.cluster_size or MIB
    tail = draft.virtual_size % block
    end = last + (tail if tail and last == final else block)
    check_end(image, draft, end=end, padded=last + block, what="last block")


def _present(image: Reader, offset: int, length: int, ratio: int) -> list[int]:
    """The file offsets of the present payload blocks; every (ratio + 1)th entry is a bitmap block."""
    found: list[int] = []
    for number, data in enumerate(image.chunks(offset, length, what="VHDX block table")):
        if not_empty(data):
            first = number * CHUNK // 8
            found += [
                value & OFFSET_MASK
                for at, value in enumerate(entries(data, code="Q", big_endian=False), first)
                if value & STATE_MASK in (PRESENT, PARTLY_PRESENT) and (at + 1) % (ratio + 1)
            ]
    return found
