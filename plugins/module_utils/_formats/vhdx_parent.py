# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parent locator of VHDX ([MS-VHDX] 2.6.2.6): a type, then keys and values in UTF-16 little endian.

Offset  Size  Field                       Offset  Size  Field of an entry, from byte 20
     0    16  locator type                     0     4  offset of the key
    16     2  reserved                         4     4  offset of the value
    18     2  number of entries                8     4  lengths of key and value, 2 bytes each
"""

from __future__ import annotations

import struct
import uuid

from .reader import Malformed

VHDX_LOCATOR = uuid.UUID("b04aefb7-d19e-4a81-b789-25b8e9445913")
HEAD, ENTRY, MOST_ENTRIES = 20, "<IIHH", 64
# The names that the specification gives; others mean nothing to a reader.
KEYS = ("parent_linkage", "parent_linkage2", "relative_path", "volume_path", "absolute_win32_path")


def parent_of(item: bytes) -> dict[str, str | None]:
    """Paths and linkage of the parent by the keys of the specification, None for what isn't told."""
    if len(item) < HEAD or uuid.UUID(bytes_le=item[:16]) != VHDX_LOCATOR:
        raise Malformed("unsupported-variant", "The parent locator of the VHDX is of an unknown type.")
    count = int.from_bytes(item[18:20], "little")
    size = struct.calcsize(ENTRY)
    if count > MOST_ENTRIES or HEAD + count * size > len(item):
        raise Malformed("table-bounds", f"The parent locator of the VHDX claims {count} entries.")
    rows = (struct.unpack_from(ENTRY, item, at) for at in range(HEAD, HEAD + count * size, size))
    told = {_text(item, row[0], row[2]): _text(item, row[1], row[3]) for row in rows}
    return {key: told.get(key) for key in KEYS}


def _text(item: bytes, offset: int, length: int) -> str:
    if offset + length > len(item):
        raise Malformed("table-bounds", "An entry of the VHDX parent locator lies outside it.")
    return item[offset : offset + length].decode("utf-16-le", "replace")
