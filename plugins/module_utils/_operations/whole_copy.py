# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole copy of an image file beside it, to work on: its bytes and holes, its owner, mode and attributes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import replace

from .._errors import Conflict
from .._files import fingerprint, publish, require_space, sync_file
from .._jobs.progress import Progress
from .._qemu.image_locks import kept_from_engines
from .._records import ATTRIBUTE, Record, tidy_sidecars, write_record

REFLINK, COPY = "reflink", "copy"
# FICLONE of linux/fs.h: share all blocks of another file; file systems that can't say one of these errors.
_FICLONE = 0x40049409
_NO_CLONE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS}
_NO_KERNEL_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_PIECE = 8 << 20


def shares_blocks(path: str) -> bool:
    """Whether the file system can copy `path` without copying; asked with a file that never has a name."""
    try:
        new = os.open(os.path.dirname(path), os.O_RDWR | os.O_TMPFILE, 0o600)
    except OSError:
        return False
    try:
        with open(path, "rb", buffering=0) as old:
            return _clone(old.fileno(), new)
    finally:
        os.close(new)


def require_room(path: str) -> None:
    """Raise NoSpace when a copy of `path` can't be made beside it."""
    if not shares_blocks(path):
        require_space(path, os.stat(path).st_blocks * 512, what=f"A copy of {path}")


def copy_beside(path: str, partial: str, progress: Progress, *, bandwidth: int | None = None) -> str:
    """Make the new file `partial` a copy of `path`, readable by nobody else until it is whole; REFLINK or COPY.

    `bandwidth` is in bytes a second.
    """
    new = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(path, "rb", buffering=0) as old:
            how = REFLINK if _clone(old.fileno(), new) else COPY
            if how == COPY:
                _copy(old.fileno(), new, progress, bandwidth)
            keep_attributes(old.fileno(), new)
    finally:
        os.close(new)
    return how


def publish_copy(partial: str, path: str, *, before: dict[str, object], record: Record | None, same: bool) -> None:
    """Make `path` point at the finished copy `partial`, unless it isn't any more what `before` (its fingerprint) says.

    `record` goes with it; when the content isn't the `same` any more, so that it doesn't count as untouched.
    """
    with kept_from_engines(path):
        found = fingerprint(path)
        if (found.as_dict() if found else None) != before:
            raise Conflict(f"{path} was changed by somebody else meanwhile; it was left as it is now.")
        sync_file(partial)
        if record:
            write_record(partial, replace(record, digest=record.digest if same else ""), final=path)
            if not same:
                touch(partial)
        publish(partial, path)
    tidy_sidecars(path)


def touch(path: str) -> None:
    """Give `path` another modification time, so that a record on it tells of a file that was written to since."""
    found = os.stat(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


def _clone(old: int, new: int) -> bool:
    try:
        fcntl.ioctl(new, _FICLONE, old)
    except OSError as error:
        if error.errno not in _NO_CLONE:
            raise
        return False
    return True


def _copy(old: int, new: int, progress: Progress, bandwidth: int | None) -> None:
    size = os.fstat(old).st_size
    os.ftruncate(new, size)
    done, began = 0, time.monotonic()
    for start, end in _data(old, size):
        while start < end:
            copied = _piece(old, new, start, min(_PIECE, end - start))
            if not copied:
                raise Conflict(
                    "The image became shorter while it was copied; run the task again when nothing writes to it."
                )
            start, done = start + copied, done + copied
            progress.update(start)
            if bandwidth:
                time.sleep(max(0.0, began + done / bandwidth - time.monotonic()))


def _data(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """Start and end of each stretch that isn't a hole."""
    end = 0
    while end < size:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            return
        end = os.lseek(handle, start, os.SEEK_HOLE)
        yield start, end


def _piece(old: int, new: int, offset: int, length: int) -> int:
    try:
        return os.copy_file_range(old, new, length, offset, offset)
    except OSError as error:
        if error.errno not in _NO_KERNEL_COPY:
            raise
    return os.pwrite(new, os.pread(old, length, offset), offset)


def keep_attributes(old: int, new: int) -> None:
    """Attributes, access lists and labels too, but not our record, which is of the other file; owner before mode."""
    found = os.fstat(old)
    os.fchown(new, found.st_uid, found.st_gid)
    os.fchmod(new, stat.S_IMODE(found.st_mode))
    for name in _attributes(old):
        if name != ATTRIBUTE:
            os.setxattr(new, name, os.getxattr(old, name))


def _attributes(handle: int) -> list[str]:
    try:
        return os.listxattr(handle)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSYS):
            raise
        return []
