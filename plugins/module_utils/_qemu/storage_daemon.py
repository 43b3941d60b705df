# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu-storage-daemon: one per piece of work, over a socket that has no name, and gone with the process that started it."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Any

from .._commands import failure
from .._errors import EngineError, ImageOpsError
from .._qmp.client import Qmp, library, lost, refusal
from .engine import said_on, start_engine

NAME = PROGRAM = "qemu-storage-daemon"
# How long a daemon that was told to end may flush what it has, when its work is given up.
_GRACE = 30.0
# What block drivers print when the last write of a file's tables fails; no command's answer tells of that.
_LOST_WRITE = re.compile(r"^.*(?:Failed to|Lost|[Ee]rror).*$", re.MULTILINE)


class StorageDaemon:
    """A running daemon; `execute` is a QMP call."""

    def __init__(self, qmp: Qmp) -> None:
        self._qmp = qmp
        self.execute = qmp.execute
        self.sleep = qmp.sleep
        self._added: list[str] = []

    def add(self, nodes: Sequence[dict[str, Any]]) -> None:
        """Open images, as block_graph.chain_nodes gives them."""
        for node in nodes:
            self.execute("blockdev-add", node)
            self._added.insert(0, node["node-name"])

    def remove_all(self) -> None:
        """Close all that was added, from the top down; QEMU flushes each."""
        while self._added:
            self.execute("blockdev-del", {"node-name": self._added[0]})
            self._added.pop(0)


@contextlib.contextmanager
def storage_daemon(*, pass_fds: Sequence[int] = ()) -> Iterator[StorageDaemon]:
    """A daemon for the time of the block; at its end everything is flushed and the process is gone.

    It inherits `pass_fds` (locks). Raises MissingLibrary, EngineError or NoSpace, also for what fails when images are closed.
    """
    library()
    ours, theirs = socket.socketpair()
    with theirs, tempfile.TemporaryFile() as stderr:
        process = _spawn(theirs, stderr, pass_fds)
        theirs.close()
        try:
            with _session(ours) as daemon:
                yield daemon
                daemon.remove_all()
                daemon.execute("quit")
            process.wait()
        except BaseException as error:
            _end(process)
            _explain(error, process, stderr)
            raise
        _require_clean_end(process, stderr)


def _spawn(theirs: socket.socket, stderr: IO[bytes], pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    monitor = f"socket,id=qmp,fd={theirs.fileno()}"
    argv = [PROGRAM, "--chardev", monitor, "--monitor", "chardev=qmp"]
    return start_engine(argv, stdout=stderr, stderr=stderr, pass_fds=(theirs.fileno(), *pass_fds))


@contextlib.contextmanager
def _session(ours: socket.socket) -> Iterator[StorageDaemon]:
    qmp = Qmp(ours, NAME)
    try:
        yield StorageDaemon(qmp)
    except BaseException:
        # Jobs are cancelled and images closed cleanly, if the daemon still lives.
        with contextlib.suppress(ImageOpsError):
            qmp.execute("quit")
        raise
    finally:
        qmp.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _explain(error: BaseException, process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    """Say how the daemon ended instead of only that it is gone."""
    if isinstance(error, EngineError) and str(error) == str(lost(NAME)) and process.returncode:
        raise failure([PROGRAM], process.returncode, said_on(stderr)) from None


def _require_clean_end(process: subprocess.Popen[bytes], stderr: IO[bytes]) -> None:
    said = said_on(stderr)
    if process.returncode != 0:
        raise failure([PROGRAM], process.returncode, said)
    wrong = _LOST_WRITE.search(said)
    if wrong:
        raise refusal(NAME, "closing the images", wrong.group())
