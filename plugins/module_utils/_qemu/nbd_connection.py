# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A reader of one NBD export: size, what is zero, data (the protocol's doc/proto.md, newstyle with structured replies)."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from .._errors import EngineError

_GREETING, _OPTION_MAGIC, _OPTION_REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_OPT_GO, _OPT_STRUCTURED, _OPT_CONTEXT = 7, 8, 10
_REP_ACK, _REP_INFO, _REP_CONTEXT = 1, 3, 4
_INFO_EXPORT = 0
_REQUEST, _REPLY = 0x25609513, 0x668E33EF
_CMD_READ, _CMD_DISCONNECT, _CMD_STATUS = 0, 2, 7
_CHUNK_DATA, _CHUNK_HOLE, _CHUNK_STATUS, _CHUNK_ERROR = 1, 2, 5, 1 << 15
_DONE, _ZERO = 1, 2
_CONTEXT = b"base:allocation"
# What a server may send where we expect little: names and messages are 4096 bytes at most.
_MOST_SMALL = 16 << 10
_MOST_STATUS = 64 << 20
_STATUS_STEP = 1 << 30


class Ended(EngineError):
    """The server has hung up."""


class NbdConnection:
    """One connection to the unnamed export; not for two threads at once."""

    def __init__(self, path: str, *, timeout: float) -> None:
        """Connect to the unix socket `path`; raises OSError, or EngineError when the server can't do what we need."""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self.size = 0
        try:
            self._socket.connect(path)
            self._negotiate()
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Say goodbye; an export that isn't there any more needs none."""
        with contextlib.suppress(EngineError):
            self._request(_CMD_DISCONNECT, 0, 0)
        self._socket.close()

    def read(self, offset: int, length: int) -> bytes:
        """`length` bytes that the export has."""
        self._request(_CMD_READ, offset, length)
        found = bytearray(length)
        for kind, data in self._chunks(length + 8):
            if kind in (_CHUNK_DATA, _CHUNK_HOLE):
                at = int.from_bytes(data[:8], "big") - offset
                if kind == _CHUNK_DATA and 0 <= at <= length - (len(data) - 8):
                    found[at : at + len(data) - 8] = data[8:]
                elif kind == _CHUNK_DATA:
                    raise _nonsense()
        return bytes(found)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Offset and end of what doesn't read as zeros, ascending; neighbours are joined."""
        start, at = 0, 0
        while at < self.size:
            for length, flags in self._status(at, min(_STATUS_STEP, self.size - at)):
                if flags & _ZERO:
                    if start < at:
                        yield start, at
                    start = at + length
                at += length
        if start < self.size:
            yield start, self.size

    def _status(self, offset: int, length: int) -> list[tuple[int, int]]:
        self._request(_CMD_STATUS, offset, length)
        found: list[tuple[int, int]] = []
        for kind, data in self._chunks(_MOST_STATUS):
            if kind == _CHUNK_STATUS:
                found += struct.iter_unpack(">II", data[4:])
        if not sum(size for size, _flags in found):
            raise _nonsense()
        return _within(found, length)

    def _request(self, command: int, offset: int, length: int) -> None:
        self._send(struct.pack(">IHHQQI", _REQUEST, 0, command, 0, offset, length))

    def _chunks(self, most: int) -> Iterator[tuple[int, bytes]]:
        """The chunks of one reply; raises EngineError for one that tells of an error."""
        done = False
        while not done:
            magic, flags, kind, _cookie, length = struct.unpack(">IHHQI", self._exactly(20))
            if magic != _REPLY or length > max(most, _MOST_SMALL):
                raise _nonsense()
            data = self._exactly(length)
            if kind & _CHUNK_ERROR:
                raise EngineError(f"qemu-nbd could not read the image: {data[6:].decode(errors='replace')}")
            yield kind, data
            done = bool(flags & _DONE)

    def _negotiate(self) -> None:
        greeting = self._exactly(18)
        if greeting[:16] != _GREETING + _OPTION_MAGIC:
            raise _nonsense()
        self._send(struct.pack(">I", _FIXED_NEWSTYLE | _NO_ZEROES))
        self._option(_OPT_STRUCTURED, b"")
        contexts = self._option(_OPT_CONTEXT, struct.pack(">III", 0, 1, len(_CONTEXT)) + _CONTEXT)
        if not any(kind == _REP_CONTEXT for kind, _data in contexts):
            raise _nonsense()
        for kind, data in self._option(_OPT_GO, struct.pack(">IH", 0, 0)):
            if kind == _REP_INFO and int.from_bytes(data[:2], "big") == _INFO_EXPORT:
                self.size = int.from_bytes(data[2:10], "big")

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        """The replies to one option; raises EngineError when the server refuses it."""
        self._send(_OPTION_MAGIC + struct.pack(">II", option, len(data)) + data)
        found = []
        kind = 0
        while kind != _REP_ACK:
            magic, _option, kind, length = struct.unpack(">QIII", self._exactly(20))
            if magic != _OPTION_REPLY or length > _MOST_SMALL or kind >> 31:
                raise _nonsense()
            found.append((kind, self._exactly(length)))
        return found

    def _send(self, data: bytes) -> None:
        with _told():
            self._socket.sendall(data)

    def _exactly(self, length: int) -> bytes:
        found = bytearray(length)
        view, done = memoryview(found), 0
        while done < length:
            with _told():
                count = self._socket.recv_into(view[done:])
            if not count:
                raise Ended("qemu-nbd ended while the image was read.")
            done += count
        return bytes(found)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """An error of the socket as one sentence."""
    try:
        yield
    except OSError as error:
        raise Ended(f"qemu-nbd ended while the image was read: {error.strerror or error}.") from None


def _within(found: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The server may tell of more than it was asked for in the last one."""
    kept, at = [], 0
    for size, flags in found:
        kept.append((min(size, length - at), flags))
        at += size
        if at >= length:
            break
    return kept


def _nonsense() -> EngineError:
    return EngineError("qemu-nbd answered something that NBD doesn't know or that we can't use.")
