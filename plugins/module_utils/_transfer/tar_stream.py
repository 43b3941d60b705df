# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of a tar that is read as a stream: nothing is unpacked, and no header makes us keep more than a little.

The standard library's tarfile keeps a header's extensions whole, however long it says that they are, and nests as deep as they do.
What is read: POSIX's ustar and pax, and GNU tar's long names (POSIX.1-2017, pax, "ustar Interchange Format" and "pax Header Block").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Callable

from .._errors import UnsafeImage

_BLOCK = 512
_PIECE = 1 << 20
# Names have at most 4096 bytes on Linux; extended attributes of a file 64 KiB each.
_MOST_EXTENSION = 1 << 20
_PLAIN = (b"0", b"\0", b"7")
_NO_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")
_FOLDER = b"5"
_PAX, _LONG_NAME, _OLD_SPARSE = (b"x", b"X"), b"L", b"S"
_BESIDE = (b"g", b"K")

Read = Callable[[int], bytes]


@dataclass(frozen=True)
class Member:
    """One member; `is_plain` for a regular file whose bytes are just its content."""

    name: str
    size: int
    is_plain: bool
    is_folder: bool


class TarStream:
    """The tar that `read` gives, up to as many bytes as it is asked for; nothing at the end. At most `most` headers are read.

    `skip` passes over bytes that nobody wants, faster than by reading them, and says whether there were so many.
    """

    def __init__(self, read: Read, *, most: int, where: str, skip: Callable[[int], bool] | None = None) -> None:
        self._source = read
        self._skip = skip
        self._where = where
        self._most = most
        self._left = self._padding = 0

    def __iter__(self) -> Iterator[Member]:
        """The members; of each one `read` gives the content until the next one is asked for."""
        name, told = "", dict[str, str]()
        for header in self._headers():
            kind, size = header[156:157], self._number(header[124:136])
            if kind in _PAX:
                told = self._records(self._extension(size))
            elif kind == _LONG_NAME:
                name = _text(self._extension(size))
            elif kind in _BESIDE:
                self._begin(size)
            else:
                yield self._member(header, kind, self._told_size(told, size), told.get("path") or name, told)
                name, told = "", {}
            self._pass_over()

    def read(self, count: int) -> bytes:
        """Up to `count` bytes of the member's content, nothing at its end."""
        data = self._source(min(count, self._left)) if self._left else b""
        if self._left and not data:
            raise self._broken("it ends in the middle of a file")
        self._left -= len(data)
        return data

    def _headers(self) -> Iterator[bytes]:
        for _header in range(self._most):
            header = self._exactly(_BLOCK, may_end=True)
            if not any(header):
                return
            if self._number(header[148:156]) != sum(header[:148]) + 8 * ord(" ") + sum(header[156:]):
                raise self._broken("a header's checksum is wrong")
            yield header
        raise UnsafeImage(f"{self._where} holds more than {self._most} files.")

    def _member(self, header: bytes, kind: bytes, size: int, name: str, told: dict[str, str]) -> Member:
        if kind == _OLD_SPARSE:
            self._pass_over_map(header)
        sparse = any(key.startswith("GNU.sparse.") for key in told)
        self._begin(0 if kind in _NO_DATA else size)
        return Member(name or _name(header), size, kind in _PLAIN and not sparse, kind == _FOLDER)

    def _begin(self, size: int) -> None:
        self._left, self._padding = size, -size % _BLOCK

    def _pass_over(self) -> None:
        """Go to the next header."""
        if self._skip and self._left and not self._skip(self._left):
            raise self._broken("it ends in the middle of a file")
        while self._left and not self._skip:
            self.read(_PIECE)
        self._left = 0
        self._exactly(self._padding)
        self._padding = 0

    def _pass_over_map(self, header: bytes) -> None:
        """Of a sparse file more of its map may follow (GNU tar's manual, "Sparse Formats")."""
        goes_on = header[482]
        while goes_on:
            goes_on = self._exactly(_BLOCK)[504]

    def _extension(self, size: int) -> bytes:
        if size > _MOST_EXTENSION:
            raise self._broken(f"a header goes on for {size} bytes")
        self._begin(size)
        data = self._exactly(size)
        self._left = 0
        return data

    def _records(self, data: bytes) -> dict[str, str]:
        """What an extended header tells: records of LENGTH KEY=VALUE and a line's end."""
        told, at = {}, 0
        while at < len(data):
            head = data[at : at + 12].partition(b" ")[0]
            length = int(head) if head.isdigit() else 0
            key, equals, value = data[at + len(head) + 1 : at + length - 1].partition(b"=")
            if not equals or data[at + length - 1 : at + length] != b"\n":
                raise self._broken("an extended header is damaged")
            told[_text(key)] = _text(value)
            at += length
        return told

    def _told_size(self, told: dict[str, str], size: int) -> int:
        text = told.get("size")
        if text is None:
            return size
        if not (text.isascii() and text.isdecimal() and len(text) < 20):
            raise self._broken("the size of a file is no number")
        return int(text)

    def _number(self, field: bytes) -> int:
        """Octal digits, or for large ones 0x80 and the number itself (GNU tar's manual, "Basic Tar Format")."""
        if field[0] == 0x80:
            return int.from_bytes(field[1:], "big")
        digits = field.strip(b"\0 ")
        if digits.strip(b"01234567"):
            raise self._broken("a number in a header is none")
        return int(digits or b"0", 8)

    def _exactly(self, count: int, *, may_end: bool = False) -> bytes:
        found = b""
        while len(found) < count:
            piece = self._source(count - len(found))
            if not piece:
                if may_end and not found:
                    return b""
                raise self._broken("it is cut off")
            found += piece
        return found

    def _broken(self, why: str) -> UnsafeImage:
        return UnsafeImage(f"{self._where} is no sound tar: {why}.")


def _name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
