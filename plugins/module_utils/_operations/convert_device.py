# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A block device as the target of a conversion: what it must be, and what its content means."""

from __future__ import annotations

import errno
import os
from typing import Any

from .._errors import Conflict, InUse, InvalidOption, NoSpace, Unsupported
from .._formats.names import canonical_format
from .._qemu.options import takes_full_space
from .._sizes import format_size
from .convert_options import Target
from .device_kind import require_plain
from .device_mark import device_size

# Formats that can be written onto a device; the others end their files with tables or grow while they are written.
FORMATS = ("raw", "qcow2")
_OWNERSHIP = ("owner", "group", "mode")
_EDGE, _SAMPLE, _SAMPLES = 1 << 20, 4096, 64


def check_device_options(path: str, target: Target, params: dict[str, Any]) -> None:
    """Raise InvalidOption or Unsupported for what can't be done on a block device at all."""
    if canonical_format(target.format) not in FORMATS:
        raise Unsupported(
            f"dest: {path} is a block device, and {target.format} images can't be written onto one; use raw or qcow2."
        )
    given = [name for name in _OWNERSHIP if params[name] is not None]
    if given:
        raise InvalidOption(
            f"{given[0]}: {path} is a block device, whose owner and mode are udev's matter; leave it out."
        )
    if takes_full_space(target.options):
        raise InvalidOption(f"options.preallocation: {path} is a block device, which has all its space; leave it out.")
    require_plain(path, option="dest", instead="convert to a file, or to a disk, partition or plain logical volume")


def require_room(path: str, needed: int) -> None:
    """Raise NoSpace unless the device holds the disk."""
    size = device_size(path)
    if size < needed:
        raise NoSpace(
            f"dest: {path} has {format_size(size)}, and the disk needs {format_size(needed)}; give a larger device.",
            needed=needed,
            free=size,
        )


def open_exclusively(path: str) -> int:
    """A descriptor that keeps mounts and other holders away; raises InUse when the device is held already."""
    try:
        return os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise InUse(
                f"dest: {path} is mounted, or held by swap, LVM, RAID or another device; release it, then run the task again."
            ) from None
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise Conflict(f"dest: {path} is read-only; give another device.") from None
        raise


def is_blank(path: str) -> bool:
    """Whether the first and last MiB, and samples between them, hold zeros only."""
    size = device_size(path)
    places = [(0, _EDGE), (max(size - _EDGE, 0), _EDGE)]
    places += [(size * number // _SAMPLES // _SAMPLE * _SAMPLE, _SAMPLE) for number in range(_SAMPLES)]
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not any(any(os.pread(handle, length, offset)) for offset, length in places)
    finally:
        os.close(handle)
