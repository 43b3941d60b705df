# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A script at work: its processes, its log, and how to end it.

Its processes stay in our session and group: sudo may ask at the terminal, and Ctrl-C there reaches all of them.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PATIENCE = 4.0  # seconds; after Ctrl-C they may end by themselves, then tidily, then they are killed
LONGEST = 100  # characters of a last line


class Running:
    """What a script says goes to a file and not to a pipe: daemons that it starts may outlive it."""

    def __init__(self, script: str, log: Path, environment: Mapping[str, str], folder: Path) -> None:
        self._began = time.monotonic()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
        self._log, self._news = log, log.open("rb")
        with log.open("ab") as said:
            argv = ["bash", "-c", script]
            self._process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

    def show(self) -> bool:
        """Print what it said since the last time; whether that was something."""
        news = self._news.read()
        sys.stdout.flush()
        sys.stdout.buffer.write(news)
        sys.stdout.buffer.flush()
        return bool(news)

    def last_line(self) -> str:
        with self._log.open("rb") as log:
            log.seek(max(self._log.stat().st_size - 4096, 0))
            lines = log.read().decode("utf-8", "replace").split("\n")
        return next((line.strip()[:LONGEST] for line in reversed(lines) if line.strip()), "")

    def close(self) -> None:
        self._news.close()

    def end(self) -> None:
        """Whatever it is at: its processes end."""
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            if number:
                _signal([*_below(self._process.pid), self._process.pid], number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PATIENCE)
                return


def _below(pid: int) -> Iterator[int]:
    """Its children, and theirs."""
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
            yield from _below(int(child))
            yield int(child)


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
