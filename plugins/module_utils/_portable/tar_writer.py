# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A tar that is written as its members come: what is in front of a member and known only afterwards is patched.

Headers are POSIX's ustar, as OVF demands (DSP0243 1.1, "distribution as a single file"), or GNU tar's old format with its sparse
files. A member of 8 GiB or more has its size in GNU's binary form, which ustar has no room for and all readers know.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Callable, Protocol

BLOCK = 512
_RECORD = 10240
_MOST_OCTAL = 8**11 - 1
_MOST_NAME = 100
_USTAR, _GNU = b"ustar\x0000", b"ustar  \0"
# Entries of a sparse file's map in its header, and in each block behind it.
_FIRST, _FURTHER = 4, 21
REGULAR, FOLDER, SPARSE = b"0", b"5", b"S"


class Sink(Protocol):
    """Where the tar goes."""

    def write(self, data: bytes, offset: int) -> None:
        """Keep the bytes."""


def header(
    name: str, size: int, *, kind: bytes = REGULAR, gnu: bool = False, mode: int = 0o644, owner: int = 0
) -> bytes:
    """The header of a member, without any time, so that equal content gives equal bytes."""
    return _sealed(_fields(name, size, kind=kind, gnu=gnu, mode=mode, owner=owner))


def sparse_header(name: str, size: int, runs: Iterable[tuple[int, int]], *, data: int) -> Iterator[bytes]:
    """The blocks of the header of a sparse file of `size` bytes in GNU tar's old format, of which `data` are in the archive.

    `runs` are offset and end of its data, multiples of 512. The last one must reach the file's end: what ends with a hole has a run of
    no bytes there.
    """
    entries = iter(runs)
    some, rest = list(islice(entries, _FIRST)), list(islice(entries, _FURTHER))
    fields = _fields(name, data, kind=SPARSE, gnu=True, mode=0o644, owner=0)
    fields[386 : 386 + 24 * len(some)] = b"".join(map(_entry, some))
    fields[482] = bool(rest)
    fields[483:495] = _number(size, 12)
    yield _sealed(fields)
    while rest:
        some, rest = rest, list(islice(entries, _FURTHER))
        block = bytearray(BLOCK)
        block[: 24 * len(some)] = b"".join(map(_entry, some))
        block[504] = bool(rest)
        yield bytes(block)


def sparse_header_size(count: int) -> int:
    """How many bytes the header of a sparse file with `count` runs has."""
    return BLOCK * (1 + -(-max(0, count - _FIRST) // _FURTHER))


def padding(size: int) -> bytes:
    """What follows a member of `size` bytes."""
    return bytes(-size % BLOCK)


def trailer(size: int) -> bytes:
    """The end of a tar that is `size` bytes long: two empty blocks, and what fills the last record."""
    return bytes(2 * BLOCK + -(size + 2 * BLOCK) % _RECORD)


def _fields(name: str, size: int, *, kind: bytes, gnu: bool, mode: int, owner: int) -> bytearray:
    encoded = name.encode()
    if not 0 < len(encoded) <= _MOST_NAME:
        raise ValueError(f"{name!r} is no name for a member")
    fields = bytearray(BLOCK)
    fields[: len(encoded)] = encoded
    for at, value in ((100, mode), (108, owner), (116, owner)):
        fields[at : at + 8] = _number(value, 8)
    fields[124:136] = _number(size, 12)
    fields[136:148] = _number(0, 12)
    fields[156:157] = kind
    fields[257:265] = _GNU if gnu else _USTAR
    if not gnu:
        fields[329:345] = _number(0, 8) * 2
    return fields


def _sealed(fields: bytearray) -> bytes:
    """The header with its checksum, which is counted as if it were spaces."""
    fields[148:156] = b" " * 8
    fields[148:156] = b"%06o\0 " % sum(fields)
    return bytes(fields)


def _number(value: int, width: int) -> bytes:
    if width == 12 and value > _MOST_OCTAL:
        return b"\x80" + value.to_bytes(width - 1, "big")
    return b"%0*o\0" % (width - 1, value)


def _entry(run: tuple[int, int]) -> bytes:
    return _number(run[0], 12) + _number(run[1] - run[0], 12)


class TarWriter:
    """Members one after the other; `at` is where the next byte goes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.at = 0

    def _append(self, data: bytes) -> None:
        self._sink.write(data, self.at)
        self.at += len(data)

    def member(self, name: Callable[[], str], fill: Callable[[Callable[[bytes], None]], None]) -> int:
        """A file whose size, and name, show when `fill` has written it by the function that it is given; the size."""
        place = self.at
        self._append(bytes(BLOCK))
        began = self.at
        fill(self._append)
        size = self.at - began
        self._append(padding(size))
        self._sink.write(header(name(), size), place)
        return size

    def file(self, name: str, data: bytes) -> None:
        """A file of known content."""
        self._append(header(name, len(data)) + data + padding(len(data)))

    def room(self, name: str, size: int) -> Callable[[bytes], bytes]:
        """Keep room for a file of up to `size` bytes; the function that is given back writes it.

        It gives back what the file has become: filled up with line feeds.
        """
        place, whole = self.at, size + -size % BLOCK
        self._append(bytes(BLOCK + whole))

        def fill(data: bytes) -> bytes:
            if len(data) > whole:
                raise ValueError(f"{name} needs more room than was kept for it")
            # As long as all blocks of it are used, its end may be anywhere in the last one.
            padded = data + b"\n" * max(0, whole - BLOCK + 1 - len(data))
            self._sink.write(header(name, len(padded)) + padded + padding(len(padded)), place)
            return padded

        return fill

    def end(self) -> None:
        """The end of the tar."""
        self._append(trailer(self.at))
