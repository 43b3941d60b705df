# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The header extensions of qcow2: u32 type, u32 length, data padded to 8 bytes; type 0 ends the list."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Callable

from .facts import Draft
from .reader import Malformed, Reader, text
from .rules import finding

END = 0
MAX_EXTENSIONS = 64
FEATURE_KINDS = 3


@dataclass
class Extensions:
    """What the extensions said, before anything follows their pointers."""

    backing_format: str | None = None
    feature_names: dict[tuple[int, int], str] = field(default_factory=dict)
    data_file: str | None = None
    bitmaps: tuple[int, int, int] | None = None
    luks: tuple[int, int] | None = None


def read_extensions(image: Reader, draft: Draft, *, start: int, end: int) -> Extensions:
    """All extensions between the header and the backing name; every length is checked against that room."""
    found, offset = Extensions(), start
    for _turn in range(MAX_EXTENSIONS):
        if offset + 8 > end:
            return found
        kind, length = image.unpack(">II", offset, what="qcow2 header extension")
        if kind == END:
            return found
        if length > end - offset - 8:
            raise Malformed(
                "table-bounds", f"The header extension {kind:#010x} claims {length} bytes, more than its room."
            )
        _read_one(
            image, draft, found, kind, image.exact(offset + 8, length, what="header extension") if length else b""
        )
        offset += 8 + (length + 7) // 8 * 8
    raise Malformed("absurd-size", f"The header has more than {MAX_EXTENSIONS} extensions.")


def _read_one(image: Reader, draft: Draft, found: Extensions, kind: int, data: bytes) -> None:
    if kind in READERS:
        READERS[kind](image, draft, found, data)
    else:
        draft.findings.append(finding("unknown-extension", f"The header has the unknown extension {kind:#010x}."))


def _backing_format(_image: Reader, _draft: Draft, found: Extensions, data: bytes) -> None:
    found.backing_format = text(data) or None


def _data_file(_image: Reader, _draft: Draft, found: Extensions, data: bytes) -> None:
    found.data_file = text(data)


def _feature_names(_image: Reader, _draft: Draft, found: Extensions, data: bytes) -> None:
    """48 bytes each: kind (0 incompatible, 1 compatible, 2 autoclear), bit number, name."""
    for start in range(0, len(data) - 47, 48):
        kind, bit = data[start], data[start + 1]
        if kind < FEATURE_KINDS and bit < 64:
            found.feature_names[kind, bit] = text(data[start + 2 : start + 48])


def _bitmaps(_image: Reader, _draft: Draft, found: Extensions, data: bytes) -> None:
    """u32 count, u32 reserved, u64 directory size, u64 directory offset."""
    if len(data) != 24:
        raise Malformed("malformed-header", f"The bitmaps extension has {len(data)} bytes instead of 24.")
    count, reserved, size, offset = struct.unpack(">IIQQ", data)
    if reserved:
        raise Malformed("malformed-header", "The bitmaps extension has a reserved field that is not zero.")
    found.bitmaps = (count, size, offset)


def _luks(image: Reader, draft: Draft, found: Extensions, data: bytes) -> None:
    """u64 offset, u64 length of the LUKS header that lies in clusters of its own."""
    if len(data) != 16:
        raise Malformed("malformed-header", f"The encryption header extension has {len(data)} bytes instead of 16.")
    from .luks import HEADER_SIZE

    offset, length = struct.unpack(">QQ", data)
    if not offset or offset + length > image.size or length < HEADER_SIZE:
        draft.findings.append(
            finding("truncated", f"The LUKS header of {length} bytes at {offset} is not in the file.")
        )
        return
    found.luks = (offset, length)


READERS: dict[int, Callable[[Reader, Draft, Extensions, bytes], None]] = {
    0xE2792ACA: _backing_format,
    0x6803F857: _feature_names,
    0x23852875: _bitmaps,
    0x0537BE77: _luks,
    0x44415441: _data_file,
}
