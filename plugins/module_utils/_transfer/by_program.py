# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Streams that a program decompresses, in a process of its own beside ours: zst always, xz where xz is installed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import IO, Callable, cast

from .._commands import environment, require_program
from .._errors import UnsafeImage

# The limits are bytes of memory, which the file's maker chooses otherwise: zstd's own default, and as much as lzma gets.
_PROGRAMS = {
    "zst": ["zstd", "-dcq", "--no-progress", "--memory=128MB", "-"],
    "xz": ["xz", "-dcq", "-T0", "--format=xz", "--memlimit-decompress=512MiB"],
}
_CHUNK = 256 << 10
_MOST_STDERR = 4096
Read = Callable[[int], bytes]


class _Feeder(threading.Thread):
    """Gives the program what arrives; keeps what went wrong while reading it."""

    def __init__(self, read: Read, stdin: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._read = read
        self._stdin = stdin
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            with self._stdin:
                while data := self._read(_CHUNK):
                    self._stdin.write(data)
        except BrokenPipeError:
            # The program has ended, and its exit code says why.
            return
        except BaseException as error:  # noqa: BLE001 - raised again where the stream is read
            self.error = error


def is_installed(kind: str) -> bool:
    """Whether this host has the program for a kind of compression, if there is one at all."""
    return kind in _PROGRAMS and shutil.which(_PROGRAMS[kind][0]) is not None


def decompress_by_program(kind: str, read: Read, *, most: int, where: str) -> Iterator[bytes]:
    """The content of the compressed stream that `read` gives, in pieces of at most `most` bytes.

    Raises UnsafeImage when it is cut off or damaged, MissingLibrary without the program, and what `read` raises.
    """
    program, *options = _PROGRAMS[kind]
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [require_program(program), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environment(),
        )
        feeder = _Feeder(read, cast("IO[bytes]", process.stdin))
        feeder.start()
        try:
            with cast("IO[bytes]", process.stdout) as output:
                while data := output.read(most):
                    yield data
            feeder.join()
            process.wait()
        finally:
            process.kill()
            process.wait()
        if feeder.error is not None:
            raise feeder.error
        if process.returncode != 0:
            stderr.seek(0)
            raise _damaged(kind, where, stderr.read(_MOST_STDERR).decode(errors="replace"))


def _damaged(kind: str, where: str, said: str) -> UnsafeImage:
    lines = [line.rpartition(": ")[2].strip() for line in said.strip().splitlines() if line.strip()]
    why = lines[-1].rstrip(". ") if lines else "its data are damaged"
    return UnsafeImage(f"{where} is not a sound {kind} file: {why}; get it again or ask who made it.")
