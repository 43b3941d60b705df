# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we know of block devices that we wrote: a file per device under the state directory, with the kernel's word on it.

A device has no name that could be exchanged and no place for a record. So its mark says "unfinished" before the first byte
is written and holds the record after the last. Whose mark it is tell the device's numbers, its size, what names the disk
behind it and the boot: another device that comes to have the same name has no mark. Whether it was written to since tell the
kernel's counters of writes; what another host wrote to a shared device they don't tell.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from typing import Any

from .._errors import Conflict
from .._files import real_path, state_dir, write_bytes
from .._records import SCHEMA, Record

_SYSFS = "/sys/dev/block/{}:{}"
_BOOT = "/proc/sys/kernel/random/boot_id"
# What changes when another disk gets the same numbers; kernels before 5.15 have no sequence number.
_TELLING = ("diskseq", "loop/backing_file", "dm/uuid", "device/wwid", "device/serial")
# Fields of /sys/block/*/stat (Documentation/block/stat.rst): write requests and sectors, discard requests and sectors.
_WRITES = (4, 6, 11, 13)


@dataclass(frozen=True)
class Mark:
    """`record` is that of the last conversion, None while it is unfinished; `clean` when nothing wrote to the device since."""

    record: Record | None
    clean: bool

    @property
    def unfinished(self) -> bool:
        return self.record is None


def identity(path: str) -> dict[str, Any]:
    """What tells the device at `path` from every other one, until the host boots again."""
    status = os.stat(path)
    numbers = [os.major(status.st_rdev), os.minor(status.st_rdev)]
    whole = _whole(status.st_rdev)
    told = {name: _text(os.path.join(whole, name)) for name in _TELLING}
    return {"numbers": numbers, "size": device_size(path), "boot": _text(_BOOT), **told}


def device_size(path: str) -> int:
    """Bytes of a block device."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return os.lseek(handle, 0, os.SEEK_END)
    finally:
        os.close(handle)


def read_mark(path: str) -> Mark | None:
    """The mark of the device at `path`; None when we never wrote to this very device since the host's start."""
    try:
        with open(_mark_path(path), encoding="utf-8") as stream:
            loaded = json.load(stream)
    except (OSError, ValueError):
        return None
    if loaded["schema"] > SCHEMA:
        raise Conflict(
            f"{path} was written by a newer version of imageops.fleet; update the collection on the controller."
        )
    if loaded["device"] != identity(path):
        return None
    record = Record(**loaded["record"]) if loaded["record"] is not None else None
    return Mark(record, clean=loaded["writes"] == _writes(path))


def mark_unfinished(path: str) -> None:
    """Say durably that what is on the device is nothing whole."""
    _write(path, None)


def mark_finished(path: str, record: Record) -> None:
    """Say durably what is on the device; all writes have reached it."""
    _write(path, record)


def renew_mark(path: str, record: Record) -> None:
    """Replace the record and leave what is known of later writes."""
    mark = read_mark(path)
    _write(path, record, writes=None if mark is None or mark.clean else [])


def _write(path: str, record: Record | None, *, writes: list[int] | None = None) -> None:
    kept = replace(record, made={}).__dict__ if record else None
    data = {
        "schema": SCHEMA,
        "path": path,
        "device": identity(path),
        "writes": _writes(path) if writes is None else writes,
        "record": kept,
    }
    write_bytes(_mark_path(path), json.dumps(data, sort_keys=True).encode())


def _mark_path(path: str) -> str:
    name = hashlib.sha256(os.fsencode(real_path(path))).hexdigest()[:32]
    return os.path.join(state_dir("devices"), f"{name}.json")


def _writes(path: str) -> list[int]:
    """How much was written to the whole disk that the device is, or is a part of."""
    fields = _text(f"{_whole(os.stat(path).st_rdev)}/stat").split()
    return [int(fields[index]) for index in _WRITES if index < len(fields)]


def _whole(device: int) -> str:
    """The sysfs folder of the disk that the device is, or is a partition of: writes past a partition count too."""
    folder = os.path.realpath(_SYSFS.format(os.major(device), os.minor(device)))
    return os.path.dirname(folder) if os.path.exists(os.path.join(folder, "partition")) else folder


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().strip()
    except OSError:
        return ""
