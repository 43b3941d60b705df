# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounded reading: no parser can be made to read or hold more than the limits here, whatever the bytes say."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

from .._errors import UnsafeImage
from .facts import Draft
from .rules import finding

T = TypeVar("T")

SECTOR = 512
MAX_PIECE = 4 << 20
# How much of an image's tables is read. 32 MiB of L2 tables describe 256 GiB in clusters of 64 KiB; the block maps of the
# other formats name larger blocks, and 8 MiB of them at least 1 TiB.
TABLE_BUDGET = 32 << 20
MAP_BUDGET = 8 << 20
TABLE_COUNT = 8192
CHUNK = 256 << 10
# Read once, since every format's signature is looked for there.
HEAD = 4096
# The largest disk of any vendor's own limits (VHDX); nothing lawful is larger.
MAX_VIRTUAL_SIZE = 64 << 40


class Malformed(UnsafeImage):
    """A parser cannot go on; the rule says why."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


class Reader:
    """Random access to a stream of known size."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream = stream
        self.size = size
        self._head = self._read(0, HEAD) if size > 0 else b""

    def upto(self, offset: int, length: int) -> bytes:
        """At most length bytes; fewer where the file ends."""
        if offset < 0 or offset >= self.size or not 0 < length <= MAX_PIECE:
            return b""
        if offset + length <= HEAD:
            return self._head[offset : offset + length]
        return self._read(offset, length)

    def _read(self, offset: int, length: int) -> bytes:
        self.stream.seek(offset)
        pieces, wanted = [], min(length, self.size - offset)
        while wanted > 0:
            piece = self.stream.read(wanted)
            if not piece:
                break
            pieces.append(piece)
            wanted -= len(piece)
        return b"".join(pieces)

    def exact(self, offset: int, length: int, *, what: str) -> bytes:
        """Exactly length bytes, or the finding that the file is cut off."""
        found = self.upto(offset, length)
        if len(found) != length:
            raise Malformed(
                "truncated",
                f"The file ends before its {what}: {length} bytes wanted at offset {offset}, "
                f"the file has {self.size}; get the file again.",
            )
        return found

    def unpack(self, layout: str, offset: int, *, what: str) -> tuple[Any, ...]:
        """The fields of a fixed structure."""
        return struct.unpack(layout, self.exact(offset, struct.calcsize(layout), what=what))

    def chunks(self, offset: int, length: int, *, what: str) -> Iterator[bytes]:
        """A long table in pieces."""
        for start in range(0, length, CHUNK):
            yield self.exact(offset + start, min(CHUNK, length - start), what=what)


def entries(data: bytes, *, code: str, big_endian: bool) -> array[int]:
    """The integers of a table; code is Q (8 bytes) or I (4 bytes)."""
    values = array(code, data)
    if big_endian == (struct.pack("=H", 1) == b"\x01\x00"):
        values.byteswap()
    return values


def little_endian(values: array[int]) -> bytes:
    """The bytes of a table, as VMDK stores it."""
    return entries(values.tobytes(), code=values.typecode, big_endian=False).tobytes()


def spaced(values: Sequence[T], most: int) -> Sequence[T]:
    """At most that many of the values, evenly spaced, the first and the last among them."""
    if len(values) <= most:
        return values
    if most < 2:
        return values[-1:]
    return [values[turn * (len(values) - 1) // (most - 1)] for turn in range(most)]


def not_empty(table: bytes) -> bool:
    """Whether a table holds anything but zeros; one comparison in C."""
    return table != bytes(len(table))


def text(data: bytes) -> str:
    """A name as QEMU reads it: up to the first NUL, any byte kept."""
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def power_of_two(value: int) -> bool:
    """Whether exactly one bit is set."""
    return value > 0 and value & (value - 1) == 0


def check_virtual_size(draft: Draft) -> None:
    """A size that no real disk has is refused before anything is computed from it."""
    if draft.virtual_size > MAX_VIRTUAL_SIZE:
        raise Malformed(
            "absurd-size",
            f"The image claims a virtual size of {draft.virtual_size} bytes, more than the "
            f"limit of {MAX_VIRTUAL_SIZE}; it is not a disk that can be used.",
        )


def check_end(image: Reader, draft: Draft, *, end: int, what: str, padded: int = 0) -> None:
    """Note that something referenced lies past the end of the file; of padding, that no guest has, that it is missing."""
    if end > image.size:
        draft.findings.append(
            finding(
                "truncated", f"The {what} ends at byte {end}, the file already at {image.size}; get the file again."
            )
        )
    elif padded > image.size:
        draft.findings.append(
            finding("unpadded-end", f"The {what} lacks its padding up to byte {padded}; no guest data are missing.")
        )


def check_capacity(draft: Draft, *, stored: int, available: int) -> None:
    """Guest data that is stored in full cannot be larger than the file that holds it."""
    if stored > available:
        draft.findings.append(
            finding(
                "shared-table",
                f"The tables name {stored} bytes of guest data in a file of "
                f"{available}: clusters are shared; do not use this image.",
            )
        )


def unchecked(draft: Draft, *, what: str) -> None:
    """Say that the limit of the walk was reached."""
    draft.header["tables_checked"] = False
    draft.findings.append(
        finding(
            "tables-unchecked",
            f"The {what} goes beyond the limit of the check; the rest was not looked at for truncation.",
        )
    )
