# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bitmap directory of qcow2 and the tables of the persistent dirty bitmaps.

Each entry: table offset (8), table entries (4), flags (4), type (1), granularity bits (1), name length (2), extra data
length (4), extra data, name; padded to 8 bytes.
"""

from __future__ import annotations

import struct

from .facts import Bitmap, Draft
from .qcow2_region import BITMAP, Region
from .reader import MAX_PIECE, Malformed, Reader, text
from .rules import finding

LAYOUT, SIZE = ">QIIBBHI", 24
MAX_BITMAPS = 65535
MAX_DIRECTORY = 1 << 20
# QEMU's own limits (block/qcow2-bitmap.c).
MAX_TABLE_ENTRIES = 0x8000000 // 8
MIN_GRANULARITY, MAX_GRANULARITY = 9, 31
IN_USE, AUTO, EXTRA_COMPATIBLE = 1, 2, 4
DIRTY_TRACKING = 1
TOLD = 3


def read_bitmaps(image: Reader, draft: Draft, *, directory: tuple[int, int, int]) -> list[Region]:
    """List the persistent dirty bitmaps, and return the regions that they claim."""
    count, size, offset = directory
    if count > MAX_BITMAPS or size > min(MAX_DIRECTORY, MAX_PIECE):
        raise Malformed("absurd-size", f"The bitmap directory claims {count} bitmaps in {size} bytes.")
    cluster_size = draft.cluster_size or 1
    data, position = image.exact(offset, size, what="bitmap directory") if size else b"", 0
    regions = [Region("bitmap directory", offset, size).checked(image, cluster_size)] if size else []
    for _turn in range(count):
        if position + SIZE > len(data):
            raise Malformed("table-bounds", f"The bitmap directory of {size} bytes cannot hold {count} bitmaps.")
        table, length = _bitmap(draft, data, position)
        regions.append(table.checked(image, cluster_size))
        position += length
    _check(draft, regions[1:])
    return regions


def _bitmap(draft: Draft, data: bytes, position: int) -> tuple[Region, int]:
    offset, entries, flags, kind, granularity, name_length, extra = struct.unpack_from(LAYOUT, data, position)
    if granularity > MAX_GRANULARITY or entries > MAX_TABLE_ENTRIES:
        raise Malformed(
            "absurd-size", f"A bitmap claims a granularity of 2^{granularity} bytes and a table of {entries} entries."
        )
    name_at = position + SIZE + extra
    bitmap = Bitmap(
        name=text(data[name_at : name_at + name_length]),
        granularity=1 << granularity,
        in_use=bool(flags & IN_USE),
        enabled=bool(flags & AUTO),
    )
    draft.bitmaps.append(bitmap)
    if kind != DIRTY_TRACKING or granularity < MIN_GRANULARITY:
        raise Malformed("malformed-header", f"The bitmap '{bitmap.name}' has a type or granularity that QEMU refuses.")
    if extra and not flags & EXTRA_COMPATIBLE:
        draft.findings.append(finding("unknown-extension", f"The bitmap '{bitmap.name}' has data of unknown meaning."))
    length = -(-(SIZE + int(extra) + int(name_length)) // 8) * 8
    return Region(f"table of bitmap '{bitmap.name}'", offset, entries * 8, BITMAP), length


def _check(draft: Draft, tables: list[Region]) -> None:
    """One bit for each piece of the disk, in clusters that the table lists; of a bitmap in use nothing is sure."""
    in_use = [one.name for one in draft.bitmaps if one.in_use]
    if in_use:
        draft.findings.append(finding("bitmap-in-use", f"{_named(in_use)} not saved cleanly."))
    per_entry = (draft.cluster_size or 1) * 8
    small = [
        bitmap.name
        for bitmap, table in zip(draft.bitmaps, tables)
        if not bitmap.in_use and table.length // 8 * per_entry * bitmap.granularity < draft.virtual_size
    ]
    if small:
        draft.findings.append(finding("table-bounds", f"{_named(small)} given too small a table for the disk."))


def _named(names: list[str]) -> str:
    more = f" and {len(names) - TOLD} more" if len(names) > TOLD else ""
    return f"{'Bitmaps' if more else 'Bitmap'} '{', '.join(names[:TOLD])}'{more} {'were' if more else 'was'}"
