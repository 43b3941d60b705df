# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting an engine: in the C locale, without input, with the locks it must hold, and for our own life only."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import IO, Any

from .._commands import environment, missing_program

_PR_SET_PDEATHSIG = 1
# Loaded here, since between fork and exec nothing must be that could wait for another thread.
_PRCTL = ctypes.CDLL(None).prctl
_MOST_STDERR = 64 << 10


def start_engine(
    argv: Sequence[str],
    *,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
    stdin: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """The running `argv`, which inherits `pass_fds` and is killed when we are; raises MissingLibrary when it isn't installed."""
    process = None
    try:
        with _stopped_later():
            process = subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment(),
                pass_fds=tuple(pass_fds),
                # Nothing of ours runs in other threads when engines are started.
                preexec_fn=partial(_die_with, os.getpid()),  # noqa: PLW1509
            )
        return process
    except FileNotFoundError:
        raise missing_program(argv[0]) from None
    except BaseException:
        if process:
            process.kill()
            process.wait()
        raise


@contextlib.contextmanager
def _stopped_later() -> Iterator[None]:
    """Keep a SIGTERM until the end of the block: if its handler raised within Popen, nobody would know the engine, which would
    make its file again after we removed it."""
    handler = signal.getsignal(signal.SIGTERM)
    # Handlers run in the main thread only.
    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[tuple[int, Any]] = []
    signal.signal(signal.SIGTERM, lambda number, frame: late.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)
    if late:
        handler(*late[0])


def said_on(stderr: IO[bytes]) -> str:
    """What an engine wrote to the file `stderr`, its beginning when it is much."""
    stderr.seek(0)
    return stderr.read(_MOST_STDERR).decode(errors="replace")


def _die_with(parent: int) -> None:
    """prctl(2): the engine is killed when the helper is, so no orphan goes on writing."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
