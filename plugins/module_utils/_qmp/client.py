# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one file that imports qemu.qmp: a QMP session that is used call by call, and its errors as ours."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Coroutine
from typing import Any, TypeVar

from .._commands import NO_SPACE
from .._errors import EngineError, ImageOpsError, InUse, MissingLibrary, NoSpace, TimedOut
from .._libraries import LIBRARY_DIR, use_own_libraries

_Answer = TypeVar("_Answer")


@functools.cache
def library() -> Any:
    """The module `qemu.qmp`; raises MissingLibrary."""
    use_own_libraries()
    try:
        from qemu import qmp
    except ImportError:
        raise MissingLibrary(
            "The Python library qemu.qmp (PyPI's name) is not installed on this host, and talking with QEMU itself needs it; run the role "
            f"imageops.fleet.hypervisor, which puts it into {LIBRARY_DIR}."
        ) from None
    # A daemon that is killed is told of by our own sentence.
    logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)
    return qmp


class Qmp:
    """A QMP session over a connected socket with `program`; every call waits for its answer.

    A call is given up after `timeout` seconds (None: never).
    """

    def __init__(self, connected: socket.socket, program: str, *, timeout: float | None = None) -> None:
        self._qmp = library()
        self._program = program
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        try:
            self._client = self._wait(self._open(connected), timeout=timeout)
        except BaseException:
            self._loop.close()
            connected.close()
            raise

    async def _open(self, connected: socket.socket) -> Any:
        client = self._qmp.QMPClient("imageops")
        await client.connect(connected)
        return client

    def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        timeout: float | None = None,
        fd: int | None = None,
    ) -> Any:
        """What QEMU answers; raises NoSpace, InUse or EngineError with its own words, TimedOut.

        `timeout` is for calls that may take longer than the session's; `fd` goes to QEMU along with the call.
        """
        if fd is not None:
            self._client.send_fd_scm(fd)
        return self._wait(self._client.execute(command, arguments or {}), command, timeout=timeout or self._timeout)

    def sleep(self, seconds: float) -> None:
        """Wait while the session lives; raises EngineError as soon as it ends."""
        self._wait(asyncio.sleep(seconds))
        if not self._client.runstate == self._qmp.Runstate.RUNNING:
            raise lost(self._program)

    def close(self) -> None:
        """End the session, whatever state it is in."""
        with contextlib.suppress(ImageOpsError):
            self._wait(self._client.disconnect(), timeout=self._timeout)
        self._loop.close()

    def _wait(
        self, work: Coroutine[Any, Any, _Answer], command: str = "connect", *, timeout: float | None = None
    ) -> _Answer:
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, timeout))
        except self._qmp.ExecuteError as error:
            raise refusal(self._program, command, str(error)) from None
        except asyncio.TimeoutError:
            raise TimedOut(f"{self._program} did not answer {command} within {timeout:g} seconds.") from None
        except (self._qmp.QMPError, OSError, EOFError):
            raise lost(self._program) from None


def lost(program: str) -> EngineError:
    """The other side is gone: it was killed, or it crashed, or it doesn't speak QMP."""
    return EngineError(f"{program} ended in the middle of the work; run the task again.")


def refusal(program: str, doing: str, said: str) -> ImageOpsError:
    """QEMU's words as an error of ours."""
    kind: type[ImageOpsError] = EngineError
    if NO_SPACE in said:
        kind = NoSpace
    elif "Failed to get" in said and "lock" in said:
        kind = InUse
    return kind(f"{program} failed at {doing}: {said.strip().rstrip('.')}.")
