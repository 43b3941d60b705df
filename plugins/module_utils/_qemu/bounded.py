# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An engine whose words are kept within limits and whose life ends with ours."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Any

from .._commands import failure
from .engine import start_engine

_MOST = 64 << 10


@dataclass(frozen=True)
class Said:
    """How an engine ended, and the first words of both its outputs."""

    argv: tuple[str, ...]
    rc: int
    stdout: str
    stderr: str

    def error(self) -> Exception:
        """The error of an end that wasn't wanted."""
        return failure(self.argv, self.rc, self.stderr)


def run_bounded(argv: Sequence[str], *, pass_fds: Sequence[int] = ()) -> Said:
    """Run `argv` to its end, whatever its exit code; a damaged image may make it say millions of lines, few are kept.

    Raises MissingLibrary when it isn't installed.
    """
    with start_engine(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=pass_fds) as process:
        kept: dict[str, str] = {}
        readers = [
            threading.Thread(target=_keep, args=(stream, name, kept))
            for name, stream in (("stdout", process.stdout), ("stderr", process.stderr))
        ]
        try:
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        except BaseException:
            process.kill()
            raise
    return Said(tuple(argv), process.returncode, kept["stdout"], kept["stderr"])


def _keep(stream: IO[Any], name: str, kept: dict[str, str]) -> None:
    """Read all, keep the start and the end: what is wrong is said first, why an engine gave up is said last."""
    start, end = b"", b""
    while piece := stream.read(_MOST):
        room = _MOST - len(start)
        start += piece[:room]
        end = (end + piece[room:])[-_MOST:]
    kept[name] = (start + end).decode(errors="replace")
