# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu-nbd that shows one image as its guest sees it, read-only, to us alone: its socket has a name until we are connected."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import IO

from .._commands import failure
from .._errors import EngineError, NotFound, TimedOut, TransferError
from .._transfer.nbd import NbdClient, is_installed, library
from .._transfer.stream import Broken
from .engine import said_on, start_engine
from .node import Image, Opening, image_arguments, opening

PROGRAM = "qemu-nbd"
_START_SECONDS = 60.0
_ANSWER_SECONDS = 600.0
_PAUSE = 0.02


def can_serve() -> bool:
    """Whether program and library are installed on this host."""
    return shutil.which(PROGRAM) is not None and is_installed()


@contextlib.contextmanager
def served(image: Image, *, connections: int = 1, pass_fds: Sequence[int] = ()) -> Iterator[list[NbdClient]]:
    """So many connections to an export of `image`; qemu-nbd inherits `pass_fds`, and is gone afterwards.

    Raises MissingLibrary, EngineError or TimedOut; what a connection raises within the block becomes an EngineError.
    """
    library()
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(opening(image))
        stderr = stack.enter_context(tempfile.TemporaryFile())
        with tempfile.TemporaryDirectory(prefix="imageops-nbd-") as folder:
            path = os.path.join(folder, "socket")
            process = _start(image, opened, path, stderr, pass_fds)
            stack.callback(_end, process)
            clients = [_connect(image, path, process, stderr) for _number in range(connections)]
        # The connections live on without the socket's name, so nothing of it can be left behind.
        try:
            yield clients
        except TransferError as error:
            if isinstance(error, Broken):
                _require_running(process, stderr)
            raise EngineError(str(error), **error.details) from None
        finally:
            for client in clients:
                client.close()


def _start(
    image: Image, opened: Opening, path: str, stderr: IO[bytes], pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    how, names = image_arguments([image], opened, flags=["--format"])
    argv = [PROGRAM, "--read-only", "--persistent", "--shared=0", f"--socket={path}", *how, *names]
    return start_engine(argv, stdout=subprocess.DEVNULL, stderr=stderr, pass_fds=(*opened.descriptors, *pass_fds))


def _connect(image: Image, path: str, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> NbdClient:
    """Connect as soon as the server listens, which may be before it has opened the image."""
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        try:
            return NbdClient(
                lambda handle: handle.aio_connect_unix(path),
                where=image.path,
                idle_timeout=_ANSWER_SECONDS,
            )
        except (NotFound, Broken):
            _require_running(process, stderr)
        except TransferError as error:
            raise EngineError(str(error)) from None
    raise TimedOut(f"{PROGRAM} did not open its socket within {_START_SECONDS:g} seconds.")


def _require_running(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    """Raise EngineError with the server's own words when it ends within a moment."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PAUSE)
        raise failure([PROGRAM], process.returncode, said_on(stderr))


def _end(process: subprocess.Popen[bytes]) -> None:
    """It only reads, so it may be killed at any moment."""
    process.kill()
    process.wait()
