# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files in the first folder of an ISO 9660 file system (ECMA-119), by Joliet's names where it has them.

A file there is one stretch of bytes, so a disk in it can be read where it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

from .._errors import UnsafeImage
from .ovf_reader import is_plain_name

_BLOCK = 2048
_FIRST_DESCRIPTOR, _MOST_DESCRIPTORS = 16, 32
_PRIMARY, _SUPPLEMENTARY, _END = 1, 2, 255
_SIGNATURE = b"CD001"
_JOLIET = (b"%/@", b"%/C", b"%/E")
_FOLDER, _ASSOCIATED, _GOES_ON = 2, 4, 128
_MOST_FOLDER, _MOST_FILES = 1 << 20, 1000

# Up to so many bytes from a place on.
ReadAt = Callable[[int, int], bytes]


def is_iso(head: bytes) -> bool:
    """Whether a file begins as such a file system does; `head` has its first 34 KiB."""
    return head[_FIRST_DESCRIPTOR * _BLOCK + 1 :][: len(_SIGNATURE)] == _SIGNATURE


def files_of_iso(read: ReadAt, size: int, *, where: str) -> dict[str, tuple[int, int]]:
    """Place and bytes of each file by name; raises UnsafeImage for what is no sound file system, or names a file twice."""
    return _Iso(read, size, where).files()


class _Iso:
    def __init__(self, read: ReadAt, size: int, where: str) -> None:
        self._read = read
        self._size = size
        self._where = where

    def files(self) -> dict[str, tuple[int, int]]:
        root, joliet = self._root()
        start, length = int.from_bytes(root[2:6], "little") * _BLOCK, int.from_bytes(root[10:14], "little")
        if length > _MOST_FOLDER:
            raise self._unsafe(f"its folder has {length} bytes")
        found: dict[str, tuple[int, int]] = {}
        unfinished = ""
        for record in self._records(self._exactly(start, length)):
            flags = record[25]
            name = self._name(record, joliet)
            if flags & (_FOLDER | _ASSOCIATED):
                continue
            place, bytes_ = int.from_bytes(record[2:6], "little") * _BLOCK, int.from_bytes(record[10:14], "little")
            place, bytes_ = self._joined(found, name, unfinished, place, bytes_)
            if place + bytes_ > self._size:
                raise self._unsafe(f"its file {name!a} ends behind its own end")
            found[name] = place, bytes_
            unfinished = name if flags & _GOES_ON else ""
            if len(found) > _MOST_FILES:
                raise self._unsafe(f"it has more than {_MOST_FILES} files")
        return found

    def _joined(
        self, found: dict[str, tuple[int, int]], name: str, unfinished: str, place: int, size: int
    ) -> tuple[int, int]:
        """A file of more than 4 GiB has several records, which must follow each other on the medium too."""
        if name not in found:
            return place, size
        start, length = found[name]
        if name != unfinished or start + length != place:
            raise self._unsafe(f"it has the file {name!a} twice, or in pieces")
        return start, length + size

    def _root(self) -> tuple[bytes, bool]:
        """The record of the first folder, of Joliet's where there is one."""
        primary = b""
        for number in range(_MOST_DESCRIPTORS):
            block = self._exactly((_FIRST_DESCRIPTOR + number) * _BLOCK, _BLOCK)
            if block[1:6] != _SIGNATURE or block[0] == _END:
                break
            if block[0] == _SUPPLEMENTARY and block[88:91] in _JOLIET:
                return block[156:190], True
            if block[0] == _PRIMARY:
                primary = block[156:190]
        if not primary:
            raise self._unsafe("it has no descriptor")
        return primary, False

    def _records(self, data: bytes) -> Iterator[bytes]:
        """Records don't cross blocks; an empty one ends a block."""
        at = 0
        while at < len(data):
            length = data[at]
            if not length:
                at = (at // _BLOCK + 1) * _BLOCK
                continue
            record = data[at : at + length]
            if length < 34 or len(record) < length or 33 + record[32] > length:
                raise self._unsafe("its folder is damaged")
            if record[33 : 33 + record[32]] not in (b"\0", b"\1"):
                yield record
            at += length

    def _name(self, record: bytes, joliet: bool) -> str:
        data = record[33 : 33 + record[32]]
        name = data.decode("utf-16-be" if joliet else "ascii", "replace").partition(";")[0]
        name = name if joliet else name.rstrip(".").lower()
        if not is_plain_name(name):
            raise self._unsafe(f"it has the name {name[:80]!a}, which is no plain one")
        return name

    def _exactly(self, place: int, count: int) -> bytes:
        data = self._read(place, count)
        if len(data) != count:
            raise self._unsafe("it is cut off")
        return data

    def _unsafe(self, why: str) -> UnsafeImage:
        return UnsafeImage(f"src: {self._where} is no sound ISO file system: {why}; get it again.")
