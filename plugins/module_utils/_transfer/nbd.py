# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An NBD export as a stream: the client side of the protocol, reading only.

https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md: fixed newstyle handshake, NBD_OPT_GO, simple and
structured replies. Holes that the server names are not transferred.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Callable

from .._errors import NotFound, TransferError, Unsupported
from .http import Broken
from .url import RemoteUrl

_MAGIC = (0x4E42444D41474943, 0x49484156454F5054)
_REPLY, _REQUEST = 0x3E889045565A9, 0x25609513
_SIMPLE, _STRUCTURED = 0x67446698, 0x668E33EF
_FIXED, _NO_ZEROES = 1, 2
_OPT_GO, _OPT_STRUCTURED = 7, 8
_ACK, _INFO, _ERROR = 1, 3, 1 << 31
_ERR_TLS, _ERR_UNKNOWN = _ERROR + 5, _ERROR + 6
_INFO_EXPORT = 0
_READ, _DISCONNECT = 0, 2
_DONE, _DATA, _HOLE, _CHUNK_ERROR = 1, 1, 2, 1 << 15
# What every server takes that tells no limit of its own (32 MiB is the protocol's default).
MOST_READ = 4 << 20
_MOST_OPTION = 64 << 10


class NbdConnection:
    """An export that is open for reading; `size` is in bytes."""

    def __init__(self, url: RemoteUrl, *, idle_timeout: float) -> None:
        self._url = url
        self._seconds = idle_timeout
        self._cookie = 0
        self.size = -1
        with self._failures():
            self._socket = _connect(url, idle_timeout)
        try:
            with self._failures():
                self._handshake()
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        """Say goodbye, if that can still be done."""
        with contextlib.suppress(OSError):
            self._socket.sendall(struct.pack(">IHHQQI", _REQUEST, 0, _DISCONNECT, 0, 0, 0))
        self._socket.close()

    def read(self, offset: int, count: int) -> bytes:
        """Just `count` bytes, at most MOST_READ."""
        self._cookie += 1
        with self._failures():
            self._socket.sendall(struct.pack(">IHHQQI", _REQUEST, 0, _READ, self._cookie, offset, count))
            return self._reply(offset, count)

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        """Say what goes wrong on the line as one sentence."""
        shown = self._url.shown
        try:
            yield
        except (socket.timeout, TimeoutError):
            raise Broken(f"{shown}: nothing came for {self._seconds:g} seconds (idle_timeout).") from None
        except FileNotFoundError:
            raise NotFound(f"{shown}: the socket {self._url.socket} does not exist.") from None
        except OSError as error:
            raise Broken(f"{shown}: the connection failed: {error.strerror or error}.") from None

    def _exactly(self, count: int) -> bytearray:
        data = bytearray(count)
        view, done = memoryview(data), 0
        while done < count:
            came = self._socket.recv_into(view[done:])
            if not came:
                raise ConnectionResetError(errno.ECONNRESET, "the server ended it")
            done += came
        return data

    def _numbers(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self._exactly(struct.calcsize(layout)))

    def _handshake(self) -> None:
        if self._numbers(">QQ") != _MAGIC:
            raise TransferError(f"{self._url.shown}: what answers there does not speak NBD (fixed newstyle).")
        (offered,) = self._numbers(">H")
        if not offered & _FIXED:
            raise Unsupported(f"{self._url.shown}: the server speaks an NBD older than fixed newstyle.")
        self._socket.sendall(struct.pack(">I", offered & (_FIXED | _NO_ZEROES)))
        self._option(_OPT_STRUCTURED, b"", lambda data: None)
        name = self._url.export.encode()
        answer = self._option(_OPT_GO, struct.pack(">I", len(name)) + name + struct.pack(">H", 0), self._note)
        if answer != _ACK or self.size < 0:
            raise self._no_export(answer)

    def _no_export(self, answer: int) -> TransferError | Unsupported | NotFound:
        shown = self._url.shown
        if answer == _ERR_UNKNOWN:
            return NotFound(f"{shown}: the server has no export of the name '{self._url.export}'.")
        if answer == _ERR_TLS:
            return Unsupported(f"{shown}: the server wants TLS, which is not supported for NBD; use a tunnel.")
        return TransferError(f"{shown}: the server does not open the export (answer {answer & ~_ERROR}).")

    def _option(self, option: int, data: bytes, note: Callable[[bytes], None]) -> int:
        """Ask for an option; the type of the last reply, what comes with NBD_REP_INFO goes to `note`."""
        self._socket.sendall(struct.pack(">QII", _MAGIC[1], option, len(data)) + data)
        while True:
            magic, which, kind, length = self._numbers(">QIII")
            if magic != _REPLY or which != option or length > _MOST_OPTION:
                raise TransferError(
                    f"{self._url.shown}: the server breaks the NBD protocol while options are agreed on."
                )
            payload = bytes(self._exactly(length))
            if kind != _INFO:
                return kind
            note(payload)

    def _note(self, payload: bytes) -> None:
        if len(payload) >= 12 and struct.unpack_from(">H", payload)[0] == _INFO_EXPORT:
            (self.size,) = struct.unpack_from(">Q", payload, 2)

    def _reply(self, offset: int, count: int) -> bytes:
        """The data of the one request that is on its way."""
        (magic,) = self._numbers(">I")
        if magic == _SIMPLE:
            error, cookie = self._numbers(">IQ")
            self._require(cookie == self._cookie)
            self._require_read(error)
            return bytes(self._exactly(count))
        data, done = bytearray(count), False
        while not done:
            self._require(magic == _STRUCTURED)
            flags, kind, cookie, length = self._numbers(">HHQI")
            self._require(cookie == self._cookie and length <= count + 8)
            self._chunk(kind, bytes(self._exactly(length)), data, offset)
            done = bool(flags & _DONE)
            if not done:
                (magic,) = self._numbers(">I")
        return bytes(data)

    def _chunk(self, kind: int, payload: bytes, data: bytearray, offset: int) -> None:
        """One piece of a structured reply; holes are zeros already."""
        if kind & _CHUNK_ERROR:
            self._require(len(payload) >= 4)
            self._require_read(struct.unpack_from(">I", payload)[0])
        elif kind == _DATA:
            self._require(len(payload) >= 8)
            start = struct.unpack_from(">Q", payload)[0] - offset
            self._require(0 <= start and start + len(payload) - 8 <= len(data))
            data[start : start + len(payload) - 8] = payload[8:]
        else:
            self._require(kind in (0, _HOLE))

    def _require(self, sound: bool) -> None:
        if not sound:
            raise TransferError(f"{self._url.shown}: the server breaks the NBD protocol while data are read.")

    def _require_read(self, error: int) -> None:
        if error:
            raise TransferError(f"{self._url.shown}: the server can't read its data: {os.strerror(error)}.")


def _connect(url: RemoteUrl, seconds: float) -> socket.socket:
    if url.scheme == "nbd":
        return socket.create_connection((url.host, url.port), timeout=seconds)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(seconds)
        connection.connect(url.socket)
    except BaseException:
        connection.close()
        raise
    return connection
