# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
import zlib

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._formats.picture import read_picture

PIXELS = bytes(range(18))
PPM = b"P6\n3 2\n255\n" + PIXELS


def chunks(png: bytes) -> dict[bytes, bytes]:
    """Every chunk of a PNG file, each with a right checksum."""
    found, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", png, at + 8 + length)[0] == zlib.crc32(kind + data)
        found[kind] = data
        at += 12 + length
    return found


def test_a_picture_becomes_a_png_of_the_same_pixels() -> None:
    picture = read_picture(PPM)
    assert (picture.width, picture.height) == (3, 2)
    found = chunks(picture.png)
    assert list(found) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", found[b"IHDR"]) == (3, 2, 8, 2, 0, 0, 0)
    assert zlib.decompress(found[b"IDAT"]) == b"\0" + PIXELS[:9] + b"\0" + PIXELS[9:]


def test_a_png_stays_as_it_is() -> None:
    png = read_picture(PPM).png
    assert read_picture(png) == read_picture(PPM)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "neither PNG nor"),
        (b"P5\n3 2\n255\n" + PIXELS, "neither PNG nor"),
        (b"P6\n3 2\n65535\n" + PIXELS, "neither PNG nor"),
        (read_picture(PPM).png[:-1], "ends in its middle"),
        (read_picture(PPM).png.replace(struct.pack(">II", 3, 2), struct.pack(">II", 3, 99999)), "3x99999 pixels"),
        (b"P6\n0 2\n255\n", "0x2 pixels"),
        (b"P6\n99999 2\n255\n", "99999x2 pixels"),
        (b"P6\n3 2\n255\n" + PIXELS[:-1], "17 bytes of pixels instead of 18"),
        (b"P6\n3 2\n255\n" + PIXELS + b"x", "19 bytes of pixels instead of 18"),
    ],
)
def test_what_is_no_whole_picture_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UnsafeImage, match=said):
        read_picture(data)
