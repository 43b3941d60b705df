# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures of a screen: PNG as QEMU 7.1 and newer give it, or PPM as older ones do, which becomes PNG."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from .._errors import UnsafeImage

# W3C PNG, third edition: the signature, and the one chunk that comes first, with its length of 13.
_PNG = b"\x89PNG\r\n\x1a\n"
_FIRST = _PNG + struct.pack(">I", 13) + b"IHDR"
_LAST = struct.pack(">I", 0) + b"IEND" + struct.pack(">I", zlib.crc32(b"IEND"))
# Binary PPM (netpbm's ppm(5)): magic, width, height, largest value, one white space; QEMU writes no comments.
_PPM = re.compile(rb"\AP6\s+(\d{1,5})\s+(\d{1,5})\s+255\s")
# QEMU's displays are smaller (ui/console.c); a guest chooses the size, so it is bounded before anything is made of it.
_MOST_SIDE = 16384
MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Picture:
    """A picture as the bytes of a PNG file."""

    width: int
    height: int
    png: bytes


def read_picture(data: bytes) -> Picture:
    """The picture in `data`; raises UnsafeImage for what isn't a whole PNG or binary PPM of a display's size."""
    if data.startswith(_FIRST) and len(data) > len(_FIRST) + 13:
        if not data.endswith(_LAST):
            raise UnsafeImage("The engine's picture of the screen ends in its middle; run the task again.")
        width, height = struct.unpack_from(">II", data, len(_FIRST))
        return Picture(*_bounded(width, height), data)
    match = _PPM.match(data)
    if match is None:
        raise UnsafeImage("The engine's picture of the screen is neither PNG nor binary PPM; nothing was written.")
    width, height = _bounded(int(match[1]), int(match[2]))
    pixels = data[match.end() :]
    if len(pixels) != 3 * width * height:
        raise UnsafeImage(
            f"The engine's picture of the screen has {len(pixels)} bytes of pixels instead of {3 * width * height}; "
            f"run the task again."
        )
    return Picture(width, height, _encoded(width, height, pixels))


def _bounded(width: int, height: int) -> tuple[int, int]:
    if not (0 < width <= _MOST_SIDE and 0 < height <= _MOST_SIDE):
        raise UnsafeImage(f"The engine's picture of the screen has {width}x{height} pixels; nothing was written.")
    return width, height


def _encoded(width: int, height: int, pixels: bytes) -> bytes:
    """A PNG of pixels of three bytes each, row by row from the top."""
    row = 3 * width
    # Each row is told its filter, 0 for none.
    rows = b"".join(b"\0" + pixels[start : start + row] for start in range(0, row * height, row))
    # Truecolour, 8 bits, not interlaced.
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _PNG + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 6)) + _LAST


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
