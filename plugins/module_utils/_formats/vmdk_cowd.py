# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sparse extent of ESX (Virtual Disk Format 5.0, "ESX Server Sparse Extents"), which delta links and old ESX disks have.

Offset  Size  Field (little endian)      Offset  Size  Field
     0     4  magic "COWD"                   16     4  grain size, sectors
     4     4  version                        20     4  grain directory, sectors
     8     4  flags                          24     4  entries of the grain directory
    12     4  capacity, sectors              28     4  first free sector
"""

from __future__ import annotations

from .facts import Draft
from .reader import SECTOR, Malformed, Reader, check_virtual_size
from .vmdk_lookalikes import PARENT_AREA, PARENT_AT, check_lookalikes
from .vmdk_tables import Tables, check_tables

LAYOUT = "<4sIIIIIII"
# Every grain table of ESX has so many entries.
TABLE_ENTRIES = 4096
MAX_GRAIN_SECTORS = 0x200000
VARIANT = "vmfsSparse"


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from the header and the tables."""
    draft.variant = VARIANT
    _magic, version, flags, capacity, grain, directory, count, free = image.unpack(LAYOUT, 0, what="COWD header")
    draft.virtual_size, draft.cluster_size = capacity * SECTOR, grain * SECTOR
    draft.header_area = min(4 * SECTOR, image.size)
    draft.header = {"version": version, "flags": flags, "first_free_sector": free, "tables_checked": True}
    if version != 1 or not 0 < grain <= MAX_GRAIN_SECTORS or not capacity or not directory:
        raise Malformed(
            "malformed-header",
            f"The COWD header gives version {version}, {capacity} sectors in grains of {grain}, a directory at {directory}.",
        )
    if count * TABLE_ENTRIES * grain < capacity:
        raise Malformed("table-bounds", f"The grain directory of {count} entries is too small for {capacity} sectors.")
    check_virtual_size(draft)
    check_lookalikes(draft, image.upto(PARENT_AT, PARENT_AREA), embedded=True)
    check_tables(
        image,
        draft,
        Tables(directory, None, count, TABLE_ENTRIES, grain, compressed=False, floor=4),
    )
