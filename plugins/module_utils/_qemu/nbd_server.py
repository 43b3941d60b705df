# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu-nbd that shows one image, read-only, to one client: us. Its socket has a name only until we are connected."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import partial

from .._commands import environment, failure, missing_program
from .._errors import EngineError, TimedOut
from .bounded import die_with
from .image import Image
from .nbd_client import NbdClient

PROGRAM = "qemu-nbd"
_START_SECONDS = 30.0
_END_SECONDS = 10.0
_PAUSE = 0.005
_MOST_STDERR = 64 << 10
# Not yet made, not yet listened on.
_NOT_YET = (FileNotFoundError, ConnectionRefusedError)


@contextlib.contextmanager
def served(image: Image) -> Iterator[NbdClient]:
    """A client of an export of `image`; the server is gone afterwards."""
    with tempfile.TemporaryFile() as stderr, contextlib.ExitStack() as stack:
        with tempfile.TemporaryDirectory(prefix="imageops-nbd-") as folder:
            path = os.path.join(folder, "socket")
            argv = [PROGRAM, "--read-only", f"--format={image.driver}", f"--socket={path}", "--", image.path]
            try:
                process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=stderr,
                    stderr=stderr,
                    env=environment(),
                    # Nothing of ours runs in other threads when engines are started.
                    preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509
                )
            except FileNotFoundError:
                raise missing_program(argv[0]) from None
            stack.callback(_end, process)
            connection = stack.enter_context(_connected(path, process))
        try:
            if process.poll() is not None:
                raise EngineError(f"{PROGRAM} ended before it served anything.")
            client = NbdClient(connection)
            yield client
            client.end()
        except (EngineError, ConnectionError):
            # When the server failed, its own words say why.
            with contextlib.suppress(subprocess.TimeoutExpired):
                if process.wait(timeout=_PAUSE) != 0:
                    raise failure(argv, process.returncode, _read(stderr.fileno())) from None
            raise


def _connected(path: str, process: subprocess.Popen[bytes]) -> socket.socket:
    """A connection as soon as the server listens, or a socket without one when it has ended before."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None:
        try:
            connection.connect(path)
        except _NOT_YET:
            if time.monotonic() > deadline:
                connection.close()
                raise TimedOut(f"{PROGRAM} did not listen within {_START_SECONDS:g} seconds.") from None
            time.sleep(_PAUSE)
        else:
            break
    return connection


def _end(process: subprocess.Popen[bytes]) -> None:
    """It ends by itself with its last client; one that doesn't is ended."""
    try:
        process.wait(timeout=_END_SECONDS if process.poll() is None else None)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _read(handle: int) -> str:
    return os.pread(handle, _MOST_STDERR, 0).decode(errors="replace")
