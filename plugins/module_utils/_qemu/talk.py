# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that is told one line after the other and answers on its standard output, with an end in time for each answer."""

from __future__ import annotations

import contextlib
import select
import subprocess
import tempfile
import time
from collections.abc import Sequence
from io import BufferedReader
from typing import Callable, cast

from .._errors import EngineError, TimedOut
from .engine import said_on, start_engine

_LOOK_SECONDS = 1.0
_MOST_ANSWER = 16 << 20


class Talk:
    """The running `argv`. `watch` is called each second of waiting; what it raises ends the program.

    Raises MissingLibrary when it isn't installed.
    """

    def __init__(self, argv: Sequence[str], *, pass_fds: Sequence[int] = (), watch: Callable[[], None]) -> None:
        self._argv = argv
        self._watch = watch
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # it is closed with the program
        self._unread = b""
        try:
            self._process = start_engine(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, pass_fds=pass_fds
            )
        except BaseException:
            self._stderr.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def tell(self, text: str) -> None:
        """Write `text` to the program."""
        stream = self._process.stdin
        try:
            if stream:
                stream.write(text.encode())
                stream.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def answer(self, mark: str, *, seconds: float) -> str:
        """What the program says before a line that is just `mark`; raises EngineError when it ends, TimedOut when it takes too long."""
        end, line = time.monotonic() + seconds, f"{mark}\n".encode()
        while True:
            at = 0 if self._unread.startswith(line) else self._unread.find(b"\n" + line) + 1
            if at or self._unread.startswith(line):
                said, self._unread = self._unread[:at], self._unread[at + len(line) :]
                return said.decode(errors="replace")
            self._more(end, seconds)

    def _more(self, end: float, seconds: float) -> None:
        output = cast(BufferedReader, self._process.stdout)
        while not select.select([output], [], [], _LOOK_SECONDS)[0]:
            self._watch()
            if time.monotonic() > end:
                raise TimedOut(f"{self._argv[0]} did not answer within {seconds:g} seconds.")
        piece = output.read1(1 << 16)
        if not piece:
            raise self._gone()
        self._unread += piece
        if len(self._unread) > _MOST_ANSWER:
            raise EngineError(f"{self._argv[0]} said more than {_MOST_ANSWER} bytes at once, and was stopped.")

    def _gone(self) -> EngineError:
        self._process.wait()
        self._watch()
        lines = [line for line in said_on(self._stderr).splitlines() if line.strip()]
        why = lines[-1].strip() if lines else f"exit code {self._process.returncode}"
        return EngineError(f"{self._argv[0]} failed: {why}", rc=self._process.returncode, stderr="\n".join(lines))

    def end(self, *, seconds: float) -> None:
        """Let the program end by itself; raises EngineError when it fails."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{self._argv[0]} did not end within {seconds:g} seconds.") from None
        if self._process.returncode:
            raise self._gone()

    def wait(self, *, seconds: float) -> None:
        """Let the program go, which somebody ends."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def close(self) -> None:
        """Kill the program if it still runs, and wait for its end."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
