# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The locks by which QEMU's processes keep off each other's images (block/file-posix.c, raw_apply_lock_bytes).

A process that has an image open holds a shared lock on byte 100 + N for each permission N it uses, and on byte 200 + N
for each that it doesn't share with others.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import InUse

_FIRST_BYTE, _BYTES = 100, 164
# The permissions write and resize of QEMU's BLK_PERM_*.
_WRITING = (101, 103)
# Linux' struct flock: l_type, l_whence, l_start, l_len, l_pid.
_FLOCK = "hhqqi"
_GETLK, _SETLK = 36, 37
_REFUSED = {errno.EAGAIN, errno.EACCES}


@dataclass(frozen=True)
class Holders:
    """Who has an image open: whether one of them writes, and what /proc tells of them."""

    writing: bool
    processes: tuple[str, ...]

    def sentence(self) -> str:
        """`opened for writing by process 12 (qemu-system-x86)`."""
        how = "writing" if self.writing else "reading"
        return f"opened for {how} by {', '.join(self.processes) or 'a running engine'}"


def holders(path: str) -> Holders | None:
    """The engines that have `path` open, None when none has, or nothing is there."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    try:
        if not _locked(handle, _FIRST_BYTE, _BYTES):
            return None
        writing = any(_locked(handle, byte, 1) for byte in _WRITING)
        return Holders(writing, _processes(os.fstat(handle)))
    finally:
        os.close(handle)


@contextlib.contextmanager
def kept_from_engines(path: str) -> Iterator[None]:
    """Keep every engine from opening the file that `path` names now, while it is replaced or removed.

    Raises InUse when one has it open. Nothing at `path` is nothing to keep.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        _take(handle, path)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: str) -> None:
    try:
        fcntl.fcntl(handle, _SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, _FIRST_BYTE, _BYTES, 0))
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        found = holders(path)
        how = found.sentence() if found else "opened by a running engine"
        raise InUse(f"{path} is {how}; stop what uses it, then run the task again.") from None


def _locked(handle: int, first: int, length: int) -> bool:
    """Whether somebody else holds a lock in the range."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, first, length, 0)
    answer = fcntl.fcntl(handle, _GETLK, asked)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _processes(image: os.stat_result) -> tuple[str, ...]:
    """Processes that have this inode open, as far as we may look."""
    found = set()
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        pid = link.split("/")[2]
        with contextlib.suppress(OSError):
            status = os.stat(link)
            if (status.st_dev, status.st_ino) == (image.st_dev, image.st_ino) and int(pid) != os.getpid():
                with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
                    found.add(f"process {pid} ({stream.read().strip()})")
    return tuple(sorted(found))
