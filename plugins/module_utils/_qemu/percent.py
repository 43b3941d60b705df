# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that print their progress as `(12.34/100%)`, as qemu-img -p does."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from functools import partial
from io import BufferedReader
from typing import Callable, cast

from .._commands import environment, failure, missing_program

_PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")
_PR_SET_PDEATHSIG = 1
# Loaded here, since between fork and exec nothing must be that could wait for another thread.
_PRCTL = ctypes.CDLL(None).prctl
_MOST_STDERR = 64 << 10
_LAST_WORDS = 1024
# A percentage may come in two pieces; this much is kept for the second.
_LONGEST = 32


def die_with(parent: int) -> None:
    """prctl(2): the engine is killed when the helper is, so no orphan goes on writing."""
    _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def run_with_percent(
    argv: Sequence[str],
    report: Callable[[float], None],
    *,
    pass_fds: Sequence[int] = (),
    fine: Collection[int] = (0,),
) -> tuple[int, bytes]:
    """Run `argv` to its end and report every percentage that it prints; its exit code, one of `fine`, and its last words.

    Raises MissingLibrary, NoSpace or EngineError; when the caller is interrupted, the program is killed.
    """
    with tempfile.TemporaryFile() as stderr:
        try:
            process = subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=environment(),
                pass_fds=tuple(pass_fds),
                preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509
            )
        except FileNotFoundError:
            raise missing_program(argv[0]) from None
        with process:
            try:
                said = _follow(cast(BufferedReader, process.stdout), report)
            except BaseException:
                process.kill()
                raise
        if process.returncode not in fine:
            stderr.seek(0)
            raise failure(argv, process.returncode, stderr.read(_MOST_STDERR).decode(errors="replace"))
    return process.returncode, said


def _follow(output: BufferedReader, report: Callable[[float], None]) -> bytes:
    """Read small pieces until the program closes its output; it rewrites one line with carriage returns. Its last words."""
    unread, last = b"", b""
    while piece := output.read1(512):
        unread, last = unread + piece, (last + piece)[-_LAST_WORDS:]
        found = list(_PERCENT.finditer(unread))
        if found:
            report(float(found[-1][1]))
            unread = unread[found[-1].end() :]
        unread = unread[-_LONGEST:]
    return last
