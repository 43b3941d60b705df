# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that print their progress as `(12.34/100%)`, as qemu-img -p does."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Collection, Sequence
from io import BufferedReader
from typing import Callable, cast

from .._commands import failure
from .engine import said_on, start_engine

_PERCENT = re.compile(rb"\((\d+\.\d+)/100%\)")
_LAST_WORDS = 1024
# A percentage may come in two pieces; this much is kept for the second.
_LONGEST = 32


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
        with start_engine(argv, stdout=subprocess.PIPE, stderr=stderr, pass_fds=pass_fds) as process:
            try:
                said = _follow(cast(BufferedReader, process.stdout), report)
            except BaseException:
                process.kill()
                raise
        if process.returncode not in fine:
            raise failure(argv, process.returncode, said_on(stderr))
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
