# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a differencing VHD says of its parent (Virtual Hard Disk Image Format Specification 1.0, "Parent Locator").

Eight locators stand at byte 576 of the dynamic header, 24 bytes each, big endian: platform code, sectors of room, bytes
used, reserved, offset of the path in the file. Paths of Windows are UTF-16 little endian, URLs of macOS UTF-8; the name in
the header itself is UTF-16 big endian.
"""

from __future__ import annotations

import struct
import uuid
from typing import Any

from .reader import Malformed, Reader

LOCATORS_AT, LOCATOR, LOCATORS = 576, ">4sIIIQ", 8
MOST_PATH = 64 << 10
WINDOWS = {b"W2ru": "relative", b"W2ku": "absolute", b"Wi2r": "relative", b"Wi2k": "absolute"}
CODES = {**WINDOWS, b"Mac ": "alias", b"MacX": "url"}


def parent_of(image: Reader, header: bytes) -> dict[str, Any]:
    """Name, unique id, time and paths of the parent, from the dynamic header."""
    unique_id, seconds, _zero, name = struct.unpack_from(">16sII512s", header, 40)
    return {
        "name": name.decode("utf-16-be", "replace").split("\0", 1)[0] or None,
        "id": str(uuid.UUID(bytes=unique_id)),
        "timestamp": seconds,
        "locators": _locators(image, header),
    }


def _locators(image: Reader, header: bytes) -> list[dict[str, str]]:
    found = []
    for at in range(LOCATORS_AT, LOCATORS_AT + LOCATORS * 24, 24):
        code, _room, length, _zero, offset = struct.unpack_from(LOCATOR, header, at)
        if code in CODES and length:
            if length > MOST_PATH:
                raise Malformed("absurd-size", f"A parent locator of the VHD claims a path of {length} bytes.")
            data = image.exact(offset, length, what="parent locator")
            text = data.decode("utf-16-le" if code in WINDOWS else "utf-8", "replace")
            found.append({"kind": CODES[code], "path": text.split("\0", 1)[0]})
    return found
