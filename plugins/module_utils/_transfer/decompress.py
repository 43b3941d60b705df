# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed streams, known by their first bytes and never by a name, opened with bounded memory."""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Iterator
from typing import Any, Callable

from .._errors import UnsafeImage
from .ahead import ahead
from .stream import BLOCK
from .zstd import DamagedFrame, ZstdDecompressor

# xz -9 takes 65 MiB; a file that wants more was made to hurt.
_MOST_MEMORY = 512 << 20
_CHUNK = 256 << 10
_MAGICS = {
    "gz": re.compile(rb"\x1f\x8b\x08"),
    "bz2": re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)"),
    "xz": re.compile(rb"\xfd7zXZ\x00"),
    # A frame, or a skippable one as pzstd puts before it (RFC 8878, 3.1).
    "zst": re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL),
}

Read = Callable[[int], bytes]


def compression_of(start: bytes) -> str:
    """`gz`, `bz2`, `xz`, `zst`, or nothing, by the first bytes of a file."""
    return next((name for name, magic in _MAGICS.items() if magic.match(start)), "")


def decompressed(kind: str, read: Read, *, where: str) -> Iterator[bytes]:
    """The content of the compressed stream that `read` gives, in pieces of at most 1 MiB.

    Two threads read and decompress while the caller does what it wants with them. Raises UnsafeImage for a stream that is
    cut off, broken, followed by something else, or wants too much memory; MissingLibrary for zst without zstandard.
    """
    try:
        arrived = ahead(iter(lambda: read(_CHUNK), b""))
        yield from ahead(_members(_ENGINES[kind], lambda count: next(arrived, b""), kind, where))
    except (zlib.error, lzma.LZMAError, DamagedFrame, OSError, EOFError) as error:
        # bz2 says with OSError what is wrong with the data; one of the system has a number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise broken(kind, where, str(error)) from None


def joined(start: bytes, rest: Read) -> Read:
    """Reads `start`, which was taken from a stream to look at it, and then the rest."""
    left = [start]

    def read(count: int) -> bytes:
        if not left[0]:
            return rest(count)
        data, left[0] = left[0][:count], left[0][count:]
        return data

    return read


def broken(kind: str, where: str, why: str) -> UnsafeImage:
    """The error for a stream that can't be decompressed."""
    return UnsafeImage(
        f"{where} is not a sound {kind} file: {why or 'its data are damaged'}; get it again or ask who made it."
    )


class _Gzip:
    """zlib with the signature of the other two."""

    def __init__(self) -> None:
        self._engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self.needs_input = True

    def decompress(self, data: bytes, most: int) -> bytes:
        out = self._engine.decompress(self._engine.unconsumed_tail + data, most)
        self.needs_input = not self._engine.unconsumed_tail and len(out) < most
        return out

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def unused_data(self) -> bytes:
        return self._engine.unused_data


_ENGINES: dict[str, Callable[[], Any]] = {
    "gz": _Gzip,
    "bz2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY),
    "zst": ZstdDecompressor,
}


def _members(make: Callable[[], Any], read: Read, kind: str, where: str) -> Iterator[bytes]:
    """All streams of a file, one after the other, as gzip(1), bzip2(1) and xz(1) read them."""
    data = read(_CHUNK)
    while True:
        engine = make()
        while not engine.eof:
            out = engine.decompress(data, BLOCK)
            data = b""
            if out:
                yield out
            if not engine.eof and engine.needs_input:
                data = read(_CHUNK)
                # bz2 and xz raise EOFError only when they are asked after their end.
                if not data:
                    raise broken(kind, where, "it ends too early")
        data = _next_member(engine.unused_data, read, kind, where)
        if not data:
            return


def _next_member(data: bytes, read: Read, kind: str, where: str) -> bytes:
    """What follows a stream: another one, or padding with zeros and the end."""
    while True:
        data = data.lstrip(b"\0")
        if len(data) < 16:
            more = read(_CHUNK)
            if more:
                data += more
                continue
        if data and compression_of(data) != kind:
            raise broken(kind, where, "something else follows its end")
        return data
