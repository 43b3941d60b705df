# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client's side of the NBD protocol, as far as reading a disk needs it (the NBD project's doc/proto.md).

Requests may be on their way together, and replies come in any order; a read is answered by data, or by saying that they are
zeros.
"""

from __future__ import annotations

import os
import socket
import struct
from dataclasses import dataclass, field
from typing import Any

from .._errors import EngineError

_MAGIC, _OPTION, _OPTION_REPLY = b"NBDMAGIC", b"IHAVEOPT", 0x3E889045565A9
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_GO, _STRUCTURED_REPLY, _SET_META_CONTEXT = 7, 8, 10
_ACK, _INFO, _IS_ERROR = 1, 3, 1 << 31
_REQUEST, _CHUNK = 0x25609513, 0x668E33EF
_READ, _DISCONNECT, _BLOCK_STATUS = 0, 2, 7
# Reads are answered in one piece: of one that fails half-way QEMU tells nothing, and hangs up.
_IN_ONE_PIECE = 4
_DONE, _DATA, _HOLE, _STATUS, _ERROR = 1, 1, 2, 5, 1 << 15
_ALLOCATION = b"base:allocation"
_READS_AS_ZEROS = 2
# No reply to what we ask is longer, but for data.
_MOST_TEXT = 4 << 20


@dataclass
class _Asked:
    """A request on its way. `data` stays empty while all of a read's range is told to be zeros."""

    offset: int
    length: int
    data: bytearray | None = None
    extents: list[tuple[int, bool]] = field(default_factory=list)
    done: bool = False


class NbdClient:
    """A connection to the export without a name; `size` is in bytes. One thread may use it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._asked: dict[int, _Asked] = {}
        self._last = 0
        self.size = 0
        self._greet()
        self._option(_STRUCTURED_REPLY, b"")
        self._option(_SET_META_CONTEXT, struct.pack(">III", 0, 1, len(_ALLOCATION)) + _ALLOCATION)
        for kind, data in self._option(_GO, struct.pack(">IH", 0, 0)):
            if kind == _INFO and data[:2] == b"\0\0":
                self.size = struct.unpack_from(">Q", data, 2)[0]

    def ask(self, offset: int, length: int) -> int:
        """Send a read, and return by what `take` knows it."""
        return self._send(_READ, offset, length)

    def take(self, cookie: int) -> bytearray | None:
        """The bytes of an asked range; None when they are all zeros. Raises EngineError for a range that can't be read."""
        return self._wait(cookie).data

    def extents(self, offset: int, length: int) -> list[tuple[int, bool]]:
        """Lengths from `offset` on, each with whether it reads as zeros; they may end before or after the range does."""
        return self._wait(self._send(_BLOCK_STATUS, offset, length)).extents

    def end(self) -> None:
        """Take leave; the server ends with its last client."""
        self._socket.sendall(struct.pack(">IHHQQI", _REQUEST, 0, _DISCONNECT, 0, 0, 0))

    def _greet(self) -> None:
        magic, option, _flags = struct.unpack(">8s8sH", self._exact(18))
        if (magic, option) != (_MAGIC, _OPTION):
            raise EngineError("What answered on the NBD socket is no NBD server.")
        self._socket.sendall(struct.pack(">I", _FIXED_NEWSTYLE | _NO_ZEROES))

    def _option(self, option: int, data: bytes) -> list[tuple[int, bytes]]:
        """Negotiate one option; all replies before the acknowledgement."""
        self._socket.sendall(_OPTION + struct.pack(">II", option, len(data)) + data)
        replies: list[tuple[int, bytes]] = []
        while True:
            magic, _option, kind, length = struct.unpack(">QIII", self._exact(20))
            found = self._exact(length) if length else b""
            if magic != _OPTION_REPLY or kind & _IS_ERROR:
                raise EngineError(f"The NBD server refused option {option}: {found[:200].decode(errors='replace')}.")
            if kind == _ACK:
                return replies
            replies.append((kind, found))

    def _send(self, kind: int, offset: int, length: int) -> int:
        flags = _IN_ONE_PIECE if kind == _READ else 0
        self._last += 1
        self._asked[self._last] = _Asked(offset, length)
        self._socket.sendall(struct.pack(">IHHQQI", _REQUEST, flags, kind, self._last, offset, length))
        return self._last

    def _wait(self, cookie: int) -> _Asked:
        asked = self._asked[cookie]
        while not asked.done:
            self._chunk()
        return self._asked.pop(cookie)

    def _chunk(self) -> None:
        """Receive one piece of whichever reply comes."""
        magic, flags, kind, cookie, length = struct.unpack(">IHHQI", self._exact(20))
        asked = self._asked.get(cookie)
        if magic != _CHUNK or asked is None:
            raise EngineError("The NBD server sent something that was not asked for.")
        if kind == _DATA:
            self._data(asked, length)
        else:
            self._other(asked, kind, self._exact(length) if length else b"")
        asked.done = bool(flags & _DONE)

    def _data(self, asked: _Asked, length: int) -> None:
        start = struct.unpack(">Q", self._exact(8))[0] - asked.offset
        if not 0 <= start <= start + length - 8 <= asked.length:
            raise EngineError("The NBD server sent data outside of the range that was asked for.")
        if asked.data is None:
            asked.data = bytearray(asked.length)
        self._into(memoryview(asked.data)[start : start + length - 8])

    def _other(self, asked: _Asked, kind: int, data: bytes) -> None:
        if kind & _ERROR:
            number = struct.unpack_from(">I", data)[0]
            raise EngineError(
                f"Bytes {asked.offset} to {asked.offset + asked.length} of the disk can't be read: {os.strerror(number)}.",
                errno=number,
                offset=asked.offset,
            )
        if kind == _STATUS:
            found: Any = struct.iter_unpack(">II", data[4:])
            asked.extents = [(length, bool(flags & _READS_AS_ZEROS)) for length, flags in found]

    def _exact(self, length: int) -> bytes:
        if length > _MOST_TEXT:
            raise EngineError(f"The NBD server announced {length} bytes where a few were expected.")
        data = bytearray(length)
        self._into(memoryview(data))
        return bytes(data)

    def _into(self, view: memoryview) -> None:
        while view:
            got = self._socket.recv_into(view)
            if not got:
                raise EngineError("The NBD server ended before it had sent everything.")
            view = view[got:]
