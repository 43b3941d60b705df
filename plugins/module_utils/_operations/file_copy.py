# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file's bytes as they are: shared where the file system can, else copied with holes; and its owner, mode and attributes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
import time
from collections.abc import Iterator
from typing import Callable

from .._errors import Conflict
from .._records import ATTRIBUTE

# ioctl(2) FICLONE of linux/fs.h: _IOW(0x94, 9, int).
_FICLONE = 0x40049409
# FICLONERANGE: _IOW(0x94, 13, struct file_clone_range), which holds source, its offset, length and the target's offset.
_FICLONERANGE = 0x4020940D
_CLONE_RANGE = "=qQQQ"
# What a file system, or two of them, says that can't share blocks, or not these.
NO_CLONE = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.ETXTBSY}
NO_KERNEL_COPY = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_PIECE = 8 << 20
# Owner and label that libvirt will give back to a file when no VM uses it any more: they are of that file and that use.
_OF_LIBVIRT = "trusted.libvirt."


def clone(old: int, new: int) -> bool:
    """Let the open file `new` share all blocks of `old`; False where that can't be done."""
    try:
        fcntl.ioctl(new, _FICLONE, old)
    except OSError as error:
        if error.errno not in NO_CLONE:
            raise
        return False
    return True


def clone_range(old: int, offset: int, length: int, new: int, place: int) -> None:
    """Let `new` share `length` bytes of the open file `old`; raises OSError, with a number of NO_CLONE where that can't be done."""
    fcntl.ioctl(new, _FICLONERANGE, struct.pack(_CLONE_RANGE, old, offset, length, place))


def copy_data(old: int, new: int, report: Callable[[int], None], *, bandwidth: int | None = None) -> None:
    """Copy all but holes from the open file `old` to the empty `new`, at most `bandwidth` bytes a second.

    `report` gets the place up to which it is done.
    """
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
            report(start)
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
        if error.errno not in NO_KERNEL_COPY:
            raise
    return os.pwrite(new, os.pread(old, length, offset), offset)


def copy_attributes(old: int, new: int) -> None:
    """Owner, mode (after it), access lists and labels; but neither our record, which is of the other file, nor libvirt's."""
    found = os.fstat(old)
    os.fchown(new, found.st_uid, found.st_gid)
    os.fchmod(new, stat.S_IMODE(found.st_mode))
    for name in _attributes(old):
        if name != ATTRIBUTE and not name.startswith(_OF_LIBVIRT):
            os.setxattr(new, name, os.getxattr(old, name))


def _attributes(handle: int) -> list[str]:
    try:
        return os.listxattr(handle)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOSYS):
            raise
        return []
