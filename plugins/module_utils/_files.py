# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files: fingerprints, hidden partial names, and the one way by which a name comes to point at new content."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import threading
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from ._errors import Conflict, InvalidOption, NoSpace, NotFound, system_error
from ._sizes import format_size

STATE_DIR = "/var/lib/imageops"
STATE_VARIABLE = "IMAGEOPS_STATE_DIR"
# Bytes of a file name (NAME_MAX of Linux' file systems).
_MOST_NAME = 255
_PARTIAL = ".{name}.imageops-partial{suffix}"


def state_top() -> str:
    """The state directory: /var/lib/imageops for root, else below the user's XDG state.

    The environment variable IMAGEOPS_STATE_DIR names another one, for tests and unusual layouts; jobs inherit it.
    """
    named = os.environ.get(STATE_VARIABLE)
    if named:
        return named
    if os.geteuid() == 0:
        return STATE_DIR
    return os.path.join(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"), "imageops")


def state_dir(*parts: str) -> str:
    """A folder of ours (0700, made when missing) under the state directory.

    Raises PermissionError with the way out for users that can't have one, such as those without a home.
    """
    path = top = state_top()
    try:
        os.makedirs(path, mode=0o711, exist_ok=True)
        for part in parts:
            path = os.path.join(path, part)
            with contextlib.suppress(FileExistsError):
                os.mkdir(path, 0o700)
    except PermissionError as error:
        way = f"let the task run with 'become: true', or name another state directory in {STATE_VARIABLE}"
        raise PermissionError(error.errno, f"{error.strerror}; {way}", top) from error
    return path


@dataclass(frozen=True)
class Fingerprint:
    """What tells whether a file was written since: inode, size in bytes, mtime in ns (never ctime: chown moves it)."""

    ino: int
    size: int
    mtime_ns: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def fingerprint(path: str) -> Fingerprint | None:
    """The fingerprint of `path` (links followed), None when nothing is there."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return Fingerprint(found.st_ino, found.st_size, found.st_mtime_ns)


def real_path(path: str) -> str:
    """Absolute path with every link resolved: the one name by which locks, jobs and records know a file."""
    if "\0" in path:
        raise InvalidOption(f"The path {path!r} holds a NUL character, which no file name has; give another path.")
    return os.path.realpath(os.path.expanduser(path))


def same_path(one: str, other: str) -> bool:
    """Whether two paths name the same file; links are followed only where they are written differently."""
    return one == other or real_path(one) == real_path(other)


def partial_path(path: str, *, suffix: str = "") -> str:
    """The hidden name beside `path` under which its new content is written."""
    folder, name = os.path.split(path)
    return os.path.join(folder, _PARTIAL.format(name=name, suffix=suffix))


def is_partial(path: str) -> bool:
    """Whether `path` has a hidden name as `partial_path` gives."""
    name = os.path.basename(path)
    return name.startswith(".") and _PARTIAL.format(name="", suffix="")[1:] in name


def require_folder(path: str, *, option: str) -> None:
    """Raise NotFound unless the folder that shall hold `path` exists, InvalidOption when it is none or the name leaves no room for ours."""
    folder = os.path.dirname(path) or "/"
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise InvalidOption(f"{option}: {folder} is a file, so nothing can be made in it; give another path.")
        raise NotFound(f"{option}: the folder {folder} does not exist; create it first, or give another path.")
    most = _MOST_NAME - len(_PARTIAL.format(name="", suffix=""))
    if len(os.fsencode(os.path.basename(path))) > most:
        raise InvalidOption(f"{option}: the file name of {path} is longer than {most} bytes; give a shorter one.")


def require_folders(paths: Collection[str], *, option: str) -> None:
    """Raise InvalidOption unless each is named by its absolute path, NotFound unless it is a folder."""
    for path in paths:
        require_absolute(path, option=option)
        if not os.path.isdir(path):
            raise NotFound(
                f"{option}: there is no folder {path}, so nothing in it can be looked at; give its right path, or leave it out."
            )


def require_absolute(path: str, *, option: str) -> None:
    """Raise InvalidOption for a path that means another file in every working directory."""
    if not os.path.isabs(path):
        raise InvalidOption(f"{option}: '{path}' is not an absolute path; give one that starts with a slash.")


def require_writable_folder(path: str, *, option: str) -> None:
    """Raise Conflict when nothing can be made beside `path`."""
    folder = os.path.dirname(path) or "/"
    if not os.access(folder, os.W_OK | os.X_OK):
        raise Conflict(
            f"{option}: nothing can be written in {folder}, its file system is read-only or its permissions forbid it; give "
            f"another path."
        )


def is_read_only(path: str) -> bool:
    """Whether the file system of the existing `path` is mounted read-only."""
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def require_regular(path: str, *, option: str) -> os.stat_result:
    """Status of the regular file or block device `path`; raises NotFound or Conflict."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise NotFound(f"{option}: {path} does not exist; give the path of an existing file.") from None
    except OSError as error:
        raise Conflict(f"{option}: {system_error(error)}") from error
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode)):
        raise Conflict(f"{option}: {path} is neither a regular file nor a block device; give the path of one.")
    return found


def require_space(path: str, needed: int, *, what: str) -> None:
    """Raise NoSpace unless the file system that shall hold `path` has `needed` bytes free."""
    status = os.statvfs(os.path.dirname(path) or "/")
    free = status.f_bavail * status.f_frsize
    if free < needed:
        raise NoSpace(
            f"{what} needs about {format_size(needed)} in {os.path.dirname(path)}, and only {format_size(free)} are free; "
            f"free some space or choose another folder.",
            needed=needed,
            free=free,
        )


def sync_folder(path: str) -> None:
    """Flush the folder that holds `path`, so that a rename in it survives a power cut."""
    handle = os.open(os.path.dirname(path) or "/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        _flush(handle, path)
    finally:
        os.close(handle)


def sync_file(path: str) -> None:
    """Flush the data of `path`; engines don't always do it (qemu-img never does for raw)."""
    handle = os.open(path, os.O_RDONLY)
    try:
        _flush(handle, path)
    finally:
        os.close(handle)


def _flush(handle: int, path: str) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        # Of open files the system names none.
        error.filename = path
        raise


def publish(partial: str, path: str) -> None:
    """Make `path` point at the finished `partial`: flush it, rename it, flush the folder."""
    sync_file(partial)
    os.replace(partial, path)
    sync_folder(path)


def remove(path: str) -> None:
    """Remove `path` when it is there, durably."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
        sync_folder(path)


def write_bytes(path: str, data: bytes, *, mode: int = 0o600, durable: bool = True, alone: bool = False) -> None:
    """Give `path` the content `data`: old or new content at every moment, `mode` from the first byte.

    What only has to survive the process needn't be `durable`. Who writes `alone`, under a lock, replaces what it left when
    it was killed.
    """
    # Threads of one process, and processes beside each other, write names of their own.
    partial = partial_path(path, suffix="" if alone else f"-{threading.get_native_id()}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
        if durable:
            publish(partial, path)
        else:
            os.replace(partial, path)
    except OSError as error:
        remove(partial)
        error.filename = error.filename or path
        raise


def remove_halves(folder: str) -> None:
    """Remove what `write_bytes` left in `folder` when it was killed: such a name ends with the thread that wrote it."""
    for name in os.listdir(folder):
        writer = name.rpartition("-")[2]
        if is_partial(name) and writer.isdigit() and not os.path.exists(f"/proc/{writer}"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(folder, name))


_MODE = re.compile(r"^0?[0-7]{3,4}\Z")


def parse_mode(value: str) -> int | None:
    """The permission bits of an octal text such as 0640, None when it isn't one."""
    return int(value, 8) if _MODE.match(value) else None
