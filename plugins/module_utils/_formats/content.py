# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a raw file really is where it begins like something that no disk begins with."""

from __future__ import annotations

from .reader import Reader

COMPRESSED = "a file compressed with {}; decompress it first"
SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1f\x8b\x08", COMPRESSED.format("gzip")),
    (0, b"\xfd7zXZ\0", COMPRESSED.format("xz")),
    (0, b"\x28\xb5\x2f\xfd", COMPRESSED.format("zstd")),
    (0, b"BZh", COMPRESSED.format("bzip2")),
    (0, b"\x04\x22\x4d\x18", COMPRESSED.format("lz4")),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (0, b"PK\x03\x04", "a zip archive; unpack it first"),
    (0, b"Rar!\x1a\x07", "a rar archive; unpack it first"),
    (0, b"\x7fELF", "an ELF program"),
    (0, b"MSWIM\0\0\0", "a Windows image (WIM), which is no disk"),
    (0, b"<?xml", "an XML document"),
    (0, b"<!DOCTYPE", "a web page; the download went wrong"),
    (0, b"<html", "a web page; the download went wrong"),
    (257, b"ustar", "a tar archive; unpack it first"),
)
BZIP2, BZIP2_MAGICS = b"BZh", (b"1AY&SY", b"\x17rE8P\x90")
OVF = b".ovf"
START = 512


def what(image: Reader) -> str | None:
    """What the file begins as; None when it may be a disk."""
    start = image.upto(0, START)
    for at, magic, name in SIGNATURES:
        if start[at : at + len(magic)] == magic and (magic != BZIP2 or start[4:10] in BZIP2_MAGICS):
            return _archive(start, name) if at else name
    return None


def _archive(start: bytes, name: str) -> str:
    """The descriptor is the first file of an OVA."""
    member = start[:100].split(b"\0", 1)[0].lower()
    return (
        "an OVA appliance, a tar archive of an OVF descriptor and disks; unpack it first"
        if member.endswith(OVF)
        else name
    )
