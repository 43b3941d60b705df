# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's file systems as an engine holds them open, and the scripts of a build run in them.

Files reach the guest through anonymous files of this process, so nothing of them has a name on the host, and nothing is left of them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import IO, Any, Callable, Protocol

from .._errors import EngineError, NoSpace, TimedOut
from .._faults import fault_point
from .._jobs.progress import Progress
from .._sizes import format_size
from .build_scripts import BEGIN, END, LIST, PACKAGES, RUN, GuestFile, GuestScript

_MOST_FILE = 16 << 20
# What a file system must have left, so that an engine that writes to it isn't caught by its end.
_LEAST_FREE = 8 << 20
_SHOWN = 12
# A script that fails says why in its last lines, on whichever of its outputs.
_RUN = '{prefix}/bin/sh -e {script} >{log} 2>&1 </dev/null || {{ echo "exit code $?" >>{log}; tail -n {shown} {log} >&2; exit 1; }}'
_ALONE = "command -v unshare >/dev/null || {{ echo 'the guest has no unshare; let the step have a network' >&2; exit 1; }}; {run}"


@dataclass(frozen=True)
class Done:
    """What was done in the guest: by which engine, and the list of packages that it told."""

    engine: str
    packages: str
    facts: dict[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """What an engine does for a build; it begins with the file systems mounted, and /run in memory."""

    def put(self, handle: int, path: str) -> None:
        """Write what `handle` holds to the guest's file `path`."""

    def get(self, path: str, handle: int) -> None:
        """Write the guest's file `path` to `handle`."""

    def command(self, command: str) -> None:
        """Run `command` by the guest's shell; raises EngineError with its last words."""

    def finish(self) -> None:
        """Give back what the file systems don't use, and unmount them."""

    def close(self) -> None:
        """End the engine, whatever it does."""


@dataclass
class Work:
    """All that is done in a guest, and the open files that it needs, which an engine must inherit.

    `wanted` are files of the guest's that the last script makes, to be had from `gotten`.
    """

    scripts: Sequence[GuestScript]
    wanted: Sequence[str] = ()
    _files: dict[str, IO[bytes]] = field(default_factory=dict)
    _list: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    _gotten: dict[str, IO[bytes]] = field(default_factory=dict)

    @property
    def network(self) -> bool:
        return any(script.network for script in self.scripts)

    @property
    def carried(self) -> list[int]:
        """The descriptors for the engine."""
        return [stream.fileno() for stream in (self._list, *self._gotten.values(), *self._files.values())]

    def open(self, folder: str) -> None:
        """Make the files; what is large lies in `folder`, without a name."""
        self._gotten = {path: _in_memory(b"") for path in self.wanted}
        for number, script in enumerate([BEGIN, *self.scripts, LIST, END]):
            self._files[_script_path(number)] = _in_memory(script.text.encode())
            for one in script.files:
                self._files[one.path] = _opened(one, folder)

    def close(self) -> None:
        """Let go of the files."""
        for stream in (self._list, *self._gotten.values(), *self._files.values()):
            stream.close()
        self._files.clear()

    def gotten(self) -> dict[str, bytes]:
        """What is in the wanted files."""
        return {path: _content(stream) for path, stream in self._gotten.items()}

    def do(self, session: Session, progress: Progress) -> str:
        """Run all scripts; the list of packages that the guest tells in the end."""
        for number, script in enumerate([BEGIN, *self.scripts, LIST, END]):
            progress.phase(script.title)
            for one in script.files:
                self._put(session, one.path)
            self._put(session, _script_path(number))
            try:
                session.command(self._command(script, number))
            except EngineError as error:
                raise EngineError(
                    f"steps: '{script.title}' failed in the guest: {str(error).strip()}", **error.details
                ) from error
            except TimedOut as error:
                raise TimedOut(
                    f"steps: '{script.title}' took longer in the guest than guest_timeout; give more seconds, or let it end."
                ) from error
            fault_point("build:while-customising")
        for path, stream in self._gotten.items():
            session.get(path, stream.fileno())
        session.get(PACKAGES, self._list.fileno())
        return _content(self._list).decode(errors="replace")

    def _put(self, session: Session, path: str) -> None:
        session.put(self._files[path].fileno(), path)

    def _command(self, script: GuestScript, number: int) -> str:
        alone = self.network and not script.network
        path = _script_path(number)
        run = _RUN.format(prefix="unshare --net " if alone else "", script=quote(path), log=f"{RUN}/log", shown=_SHOWN)
        return _ALONE.format(run=run) if alone else run


def _content(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    data = stream.read(_MOST_FILE + 1)
    if len(data) > _MOST_FILE:
        raise EngineError(f"A file of the guest is longer than {_MOST_FILE} bytes, which none of its kind is.")
    return data


def _script_path(number: int) -> str:
    return f"{RUN}/script{number}"


def _in_memory(data: bytes) -> IO[bytes]:
    stream = os.fdopen(os.memfd_create("imageops"), "w+b")
    stream.write(data)
    stream.flush()
    return stream


def _opened(file: GuestFile, folder: str) -> IO[bytes]:
    if not file.source:
        return _in_memory(file.content)
    if os.path.isdir(file.source):
        return _archive(file.source, folder)
    return open(file.source, "rb")  # it is closed with the others


def _archive(source: str, folder: str) -> IO[bytes]:
    stream = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # it is closed with the others
    argv = ["tar", "-c", "--numeric-owner", "--owner=0", "--group=0", "--sort=name", "-C", source, "."]
    done = subprocess.run(argv, stdout=stream, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        stream.close()
        raise EngineError(f"tar failed for {source}: {done.stderr.decode(errors='replace').strip()[-300:]}")
    return stream


def room_watch(folder: str) -> Callable[[], None]:
    """What raises NoSpace when the file system of `folder` is full: an engine's small machine would only stand still."""

    def look() -> None:
        status = os.statvfs(folder)
        if status.f_bavail * status.f_frsize < _LEAST_FREE:
            raise NoSpace(
                f"{folder} has less than {format_size(_LEAST_FREE)} free, and the build was stopped before its engine met the end; free some "
                f"space, or choose another folder."
            )

    return look


@contextlib.contextmanager
def opened(work: Work, folder: str) -> Iterator[Work]:
    """The work with its files, for the time of the block."""
    try:
        work.open(folder)
        yield work
    finally:
        work.close()
