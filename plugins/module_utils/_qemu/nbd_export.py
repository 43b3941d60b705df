# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest's view of an image of any format: qemu-nbd exports it read-only on a socket that only we can reach."""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO

from .._commands import environment, failure, missing_program
from .._errors import EngineError, TimedOut
from .nbd_client import NbdClient
from .node import Image, Opening, image_arguments, opening
from .percent import die_with

PROGRAM = "qemu-nbd"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 600.0
# The range of one question about holes.
_RANGE = 1 << 30
_PAUSE = 0.02
_MOST_STDERR = 64 << 10


class ExportedContent:
    """What the writers read (GuestContent); each call takes a connection that is free."""

    def __init__(self, connections: Sequence[NbdClient]) -> None:
        self.size = connections[0].size
        self._free: queue.SimpleQueue[NbdClient] = queue.SimpleQueue()
        # One is kept for `extents`, which may be asked while others read.
        self._first = connections[0]
        for connection in connections[1:]:
            self._free.put(connection)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Offset and end of everything that doesn't read as zeros."""
        at = 0
        while at < self.size:
            found = self._first.extents(at, min(_RANGE, self.size - at))
            if not any(length for length, _zeros in found):
                raise EngineError("The NBD server tells nothing about where data are.")
            for length, zeros in found:
                end = min(at + length, self.size)
                if not zeros and at < end:
                    yield at, end
                at = end

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; zeros behind the end."""
        connection = self._free.get()
        try:
            found = connection.take(connection.ask(offset, min(length, self.size - offset)))
        except OSError as error:
            raise EngineError(f"{PROGRAM} ended while the image was read: {error.strerror or error}.") from None
        finally:
            self._free.put(connection)
        return bytes(found or b"").ljust(length, b"\0")


@contextlib.contextmanager
def exported(image: Image, *, readers: int, pass_fds: Sequence[int] = ()) -> Iterator[ExportedContent]:
    """The content of `image` for the time of the block, for so many readers at once; qemu-nbd inherits `pass_fds`.

    Raises MissingLibrary, EngineError or TimedOut.
    """
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(opening(image))
        stderr = stack.enter_context(tempfile.TemporaryFile())
        with tempfile.TemporaryDirectory(prefix="imageops-nbd-") as folder:
            path = os.path.join(folder, "socket")
            process = _start(image, opened, path, stderr, pass_fds)
            stack.callback(_end, process)
            connections = [_connect(path, process, stderr, stack) for _number in range(readers + 1)]
        # The connections live on without the socket's name, so nothing of it can be left behind.
        yield ExportedContent(connections)


def _start(
    image: Image, opened: Opening, path: str, stderr: IO[bytes], pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    how, names = image_arguments([image], opened, flags=["--format"])
    argv = [PROGRAM, "--read-only", "--persistent", "--shared=0", f"--socket={path}", *how, *names]
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env=environment(),
            pass_fds=(*opened.descriptors, *pass_fds),
            # No thread of ours runs yet.
            preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509
        )
    except FileNotFoundError:
        raise missing_program(PROGRAM) from None


def _connect(path: str, process: subprocess.Popen[bytes], stderr: IO[bytes], stack: contextlib.ExitStack) -> NbdClient:
    """Connect as soon as the server listens."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        connection.settimeout(_ANSWER_SECONDS)
        try:
            connection.connect(path)
            return NbdClient(connection)
        except (FileNotFoundError, ConnectionError, EngineError) as error:
            connection.close()
            # It listens before it opens the image.
            if _has_ended(process):
                stderr.seek(0)
                said = stderr.read(_MOST_STDERR).decode(errors="replace")
                raise failure([PROGRAM], process.returncode, said) from None
            if isinstance(error, EngineError):
                raise
    raise TimedOut(f"{PROGRAM} did not open its socket within {_START_SECONDS:g} seconds.")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it ends within a moment."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PAUSE)
    return process.returncode is not None


def _end(process: subprocess.Popen[bytes]) -> None:
    """It only reads, so it may be killed at any moment."""
    process.kill()
    process.wait()
