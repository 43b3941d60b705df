# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one file that imports nbd, the binding of libnbd: an export that is read from, and the library's errors as ours."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import time
from collections.abc import Iterator
from typing import Any, Callable

from .._errors import ImageOpsError, MissingLibrary, NotFound, TransferError, Unsupported
from .._libraries import missing_library
from .stream import Broken

# For so long at once the library waits, which nothing can interrupt.
_MOST_MILLISECONDS = 500


@functools.cache
def library() -> Any:
    """The module `nbd`; raises MissingLibrary."""
    try:
        import nbd
    except ImportError:
        raise missing_library("nbd", "or point ansible_python_interpreter at one that has it") from None
    return nbd


def is_installed() -> bool:
    """Whether NBD can be spoken here."""
    try:
        library()
    except MissingLibrary:
        return False
    return True


class NbdClient:
    """A connection to an export for reading; `size` is in bytes. One thread at a time may use it.

    `connect` gets libnbd's handle and begins. After `idle_timeout` seconds in which nothing comes, a call raises Broken.
    """

    def __init__(self, connect: Callable[[Any], None], *, where: str, idle_timeout: float) -> None:
        self._nbd = library()
        self._where = where
        self._seconds = idle_timeout
        self._asked: dict[int, tuple[int, bytearray]] = {}
        self._handle = self._nbd.NBD()
        # Buffers are new, and those of a failed read are thrown away.
        self._handle.set_pread_initialize(False)
        self._handle.add_meta_context(self._nbd.CONTEXT_BASE_ALLOCATION)
        with self._connecting():
            connect(self._handle)
            while not self._handle.aio_is_ready():
                self._step()
            self.size: int = self._handle.get_size()
            whole = self._handle.can_df()
            self._tells_holes: bool = self._handle.can_meta_context(self._nbd.CONTEXT_BASE_ALLOCATION)
        # Answers come in one piece: when QEMU fails in the middle of several, it hangs up and tells no reason.
        self._flags = self._nbd.CMD_FLAG_DF if whole else 0

    def ask(self, offset: int, length: int) -> int:
        """Send a read, and return by what `take` knows it; several may be on their way."""
        data = bytearray(length)
        with self._reading(offset, length):
            cookie: int = self._handle.aio_pread_structured(
                self._nbd.Buffer.from_buffer(data), offset, lambda *_piece: 0, flags=self._flags
            )
        self._asked[cookie] = (offset, data)
        return cookie

    def take(self, cookie: int) -> bytearray:
        """The bytes of an asked range; raises Broken, and TransferError for a range that the server can't read."""
        offset, data = self._asked.pop(cookie)
        self._complete(cookie, offset, len(data))
        return data

    def read(self, offset: int, length: int) -> bytearray:
        """Just these bytes; raises as `take` does."""
        return self.take(self.ask(offset, length))

    def extents(self, offset: int, length: int) -> list[tuple[int, bool]]:
        """Lengths from `offset` on, each with whether it reads as zeros; they may end before or after the range does.

        There are none when the server doesn't tell them.
        """
        if not self._tells_holes:
            return []
        found: list[tuple[int, bool]] = []

        def note(_context: str, _offset: int, entries: list[int], _error: object) -> int:
            states = [bool(flags & self._nbd.STATE_ZERO) for flags in entries[1::2]]
            found.extend(zip(entries[::2], states))
            return 0

        with self._reading(offset, length):
            cookie = self._handle.aio_block_status(length, offset, note)
        self._complete(cookie, offset, length)
        return found

    def close(self) -> None:
        """Say goodbye, if that can still be done, and wait for no answer."""
        with contextlib.suppress(self._nbd.Error):
            self._handle.aio_disconnect()
        del self._handle

    def _complete(self, cookie: int, offset: int, length: int) -> None:
        with self._reading(offset, length):
            while not self._handle.aio_command_completed(cookie):
                self._step()

    def _step(self) -> None:
        """Wait until something comes or can be sent."""
        until = time.monotonic() + self._seconds
        while not self._handle.poll(min(_MOST_MILLISECONDS, int(self._seconds * 1000))):
            if time.monotonic() >= until:
                raise Broken(f"{self._where}: nothing came for {self._seconds:g} seconds.")

    @contextlib.contextmanager
    def _connecting(self) -> Iterator[None]:
        try:
            yield
        except self._nbd.Error as error:
            raise _refusal(self._where, _words(error), error.errnum) from None

    @contextlib.contextmanager
    def _reading(self, offset: int, length: int) -> Iterator[None]:
        try:
            yield
        except self._nbd.Error as error:
            if not self._handle.aio_is_ready() and not self._handle.aio_is_processing():
                raise Broken(f"{self._where}: the connection failed: {_words(error)}.") from None
            why = os.strerror(error.errnum) if error.errnum else _words(error)
            raise TransferError(
                f"{self._where}: bytes {offset} to {offset + length} of the disk can't be read: {why}.",
                errno=error.errnum,
                offset=offset,
            ) from None


def _words(error: Any) -> str:
    """What the library says, without the name of its function."""
    said: str = error.string
    return said.partition(": ")[2] or said


def _refusal(where: str, said: str, number: int) -> ImageOpsError:
    """Why there is no connection; Broken where another attempt may get one."""
    if number == errno.ENOENT:
        return NotFound(f"{where}: the socket does not exist." if said.startswith("connect") else f"{where}: {said}.")
    if number == errno.ENOTSUP:
        return Unsupported(f"{where}: {said}; nbds:// asks for TLS, nbd:// does not.")
    # Older versions say the first, newer ones also the second.
    if said.startswith(("handshake", "the server")) or "gnutls" in said:
        return TransferError(f"{where}: what answers there does not speak NBD as it must: {said}.")
    return Broken(f"{where}: the connection failed: {said}{_way(said, number)}.")


def _way(said: str, number: int) -> str:
    """What can be done where it is known."""
    if number == errno.ECONNREFUSED:
        return "; start the server, or give the place where it listens"
    return "; give a host's name that this host can resolve" if said.startswith("getaddrinfo") else ""
