# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an export is written, be it a file or a folder, and how it gets its name and record."""

from __future__ import annotations

import contextlib
import filecmp
import glob
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .._errors import Conflict
from .._faults import fault_point
from .._files import is_partial, partial_path, remove, sync_file, sync_folder
from .._jobs.progress import Progress
from .._jobs.running import write_lock
from .._locks import try_lock
from .._plan import Step
from .._records import Record, file_beside, publish_with_record, stale_sidecars, write_record
from .export_found import find
from .export_state import KIND, state_of
from .folder_exchange import exchange
from .ownership import apply_to_new
from .replacing import replacing

# What follows the hidden name of a destination in that of a disk that is to be packed, before its number.
SPARE = "-disk"


@dataclass(frozen=True)
class Made:
    """A file of the export: its name, size in bytes, and SHA-256 where its bytes were counted on the way."""

    name: str
    size: int
    sha256: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "size": self.size, **({"sha256": self.sha256} if self.sha256 else {})}


class Place(Protocol):
    """`path` is the file, or the folder, in which the export is written."""

    path: str

    def prepare(self, progress: Progress, spare: Sequence[str]) -> None:
        """Make it ready; `spare` are paths that the work needs besides."""

    def is_same(self, made: Sequence[Made]) -> bool:
        """Whether just these bytes are at the destination already."""

    def publish(self, record: Record, made: Sequence[Made]) -> None:
        """Let the finished export be what `dest` names, with its record on the first file."""

    def discard(self) -> None:
        """Leave nothing unfinished."""


class Destined(Protocol):
    """What a place knows of the request."""

    @property
    def dest(self) -> str: ...

    @property
    def owner(self) -> str | None: ...

    @property
    def group(self) -> str | None: ...

    @property
    def mode(self) -> str | int | None: ...

    @property
    def before(self) -> dict[str, Any]: ...


class FilePlace:
    """One file."""

    def __init__(self, request: Destined) -> None:
        self._request = request
        self.path = partial_path(request.dest)

    def prepare(self, progress: Progress, spare: Sequence[str]) -> None:
        progress.leaves(self.path, *spare)
        _tidy(self._request.dest)
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))

    def is_same(self, made: Sequence[Made]) -> bool:
        return filecmp.cmp(self.path, self._request.dest, shallow=False)

    def publish(self, record: Record, made: Sequence[Made]) -> None:
        request = self._request
        apply_to_new(self.path, owner=request.owner, group=request.group, mode=request.mode)
        fault_point("export:before-publish")
        with replacing(request.dest, request.before.get("")):
            _require_same_destination(request)
            publish_with_record(self.path, request.dest, record)
        fault_point("export:after-publish")

    def discard(self) -> None:
        _tidy(self._request.dest)


class FolderPlace:
    """A folder with files and nothing else; the old one and the new one change names at one moment."""

    def __init__(self, request: Destined, *, kind: str = KIND, mode: int | None = None) -> None:
        self._request = request
        self._kind = kind
        self._mode = mode
        self.path = partial_path(request.dest)

    def prepare(self, progress: Progress, spare: Sequence[str]) -> None:
        progress.leaves(self.path, *spare)
        _tidy(self._request.dest)
        os.mkdir(self.path, 0o700)

    def is_same(self, made: Sequence[Made]) -> bool:
        names = sorted(os.path.basename(path) for path in find(self._request.dest).files)
        return names == sorted(one.name for one in made) and all(
            filecmp.cmp(os.path.join(self.path, name), os.path.join(self._request.dest, name), shallow=False)
            for name in names
        )

    def publish(self, record: Record, made: Sequence[Made]) -> None:
        request, kind = self._request, self._kind
        paths = [os.path.join(self.path, one.name) for one in made]
        for path in paths:
            apply_to_new(path, owner=request.owner, group=request.group, mode=request.mode)
            sync_file(path)
        beside = [file_beside(path) for path in paths[1:]]
        write_record(paths[0], Record(**{**record.__dict__, "files": beside}))
        sync_file(paths[0])
        self._open_to_readers(paths[0])
        sync_folder(paths[0])
        fault_point(f"{kind}:before-publish")
        with contextlib.ExitStack() as stack:
            for name, mark in request.before.items():
                if name and not is_partial(name):
                    stack.enter_context(replacing(os.path.join(request.dest, name), mark))
            _require_same_destination(request)
            if request.before:
                exchange(self.path, request.dest)
            else:
                os.rename(self.path, request.dest)
            sync_folder(request.dest)
        fault_point(f"{kind}:after-publish")

    def _open_to_readers(self, main: str) -> None:
        """Who may read the files may look into their folder."""
        status = os.stat(main)
        readable = stat.S_IMODE(status.st_mode) & 0o444
        os.chown(self.path, status.st_uid, status.st_gid)
        os.chmod(self.path, 0o700 | readable | readable >> 2 if self._mode is None else self._mode)

    def discard(self) -> None:
        _tidy(self._request.dest)


def tidying(dest: str) -> tuple[Step, ...]:
    """The upkeep of a destination that has its content: what a killed run left beside it goes."""
    if not _left(dest):
        return ()

    def tidy() -> None:
        # Who has the lock works on it.
        lock = try_lock(write_lock(dest))
        if lock is not None:
            try:
                with contextlib.suppress(OSError):
                    _tidy(dest)
            finally:
                os.close(lock)

    return (Step("remove what an interrupted run left", tidy),)


def _left(dest: str) -> list[str]:
    """What there is beside `dest` that only an unfinished run has: the hidden file or folder, which is the old folder when it was killed
    after the new one had got the name, disks that were to be packed, and the record of a file that never got the name.
    """
    hidden = partial_path(dest)
    spares = glob.glob(glob.escape(partial_path(dest, suffix=SPARE)) + "[0-9]*")
    return [*([hidden] if os.path.lexists(hidden) else []), *spares, *stale_sidecars(dest)]


def _tidy(dest: str) -> None:
    for path in _left(dest):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
            sync_folder(path)
        else:
            remove(path)


def _require_same_destination(request: Destined) -> None:
    """Raise Conflict when `dest` isn't what it was when the job was planned."""
    if state_of(request.dest) != request.before:
        raise Conflict(f"dest: {request.dest} was changed by somebody else meanwhile; it was left as it is now.")


@contextlib.contextmanager
def new_file(path: str) -> Iterator[int]:
    """A new file that nobody else reads, open for reading and writing."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)
