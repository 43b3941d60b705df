# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that copy a file as it is: by sharing its blocks, or by letting the file system copy them."""

from __future__ import annotations

import os
from typing import Any

from .._errors import Unsupported
from .._faults import fault_point
from .._formats.facts import ImageFacts
from .._qemu.found import found_options
from .._qemu.options import SECTOR, completed
from .convert_work import Work
from .file_copy import clone, copy_data
from .inspection import Inspected

# File systems whose servers copy by themselves.
_COPYING = ("nfs4", "cifs", "smb3", "ceph")
# Other formats hold an identity of their own that no two images should share.
_FORMATS = ("raw", "qcow2")


def suits(params: dict[str, Any], source: Inspected) -> bool:
    """Whether the source's file is, byte by byte, an image that `params` describe."""
    if params["format"] != source.format or source.format not in _FORMATS or len(source.chain) != 1:
        return False
    if (
        params["compress"]
        or params["encryption"] is not None
        or params["bandwidth"]
        or params["sparse_size"] is not None
    ):
        return False
    facts, path = source.chain[0].facts, source.path
    if not os.path.isfile(path) or facts.dirty or facts.corrupt or facts.encryption:
        return False
    if source.format == "raw" and os.stat(path).st_size % SECTOR:
        return False
    if facts.snapshots or facts.bitmaps or _may_be_compressed(facts):
        return False
    wanted, found = completed(source.format, params["options"]), found_options(facts)
    return all(found.get(key, "off") == value for key, value in wanted.items())


def unshared(dest: str, source: Inspected) -> Unsupported:
    """The error of an image that can't share the blocks of its source."""
    return Unsupported(
        f"method: {dest} can't share the blocks of {source.path}; they must be on one file system that can (XFS, btrfs), and be the "
        f"same format with the same options; use 'method: auto'."
    )


def _may_be_compressed(facts: ImageFacts) -> bool:
    """Whether clusters are compressed, as far as the inspection read."""
    tables = facts.header.get("l2_tables", {"total": 0, "read": 0})
    return bool(facts.header.get("compressed_clusters") or tables["total"] != tables["read"])


def shares_blocks(target: str, source: int) -> bool:
    """Make the new file `target` share all blocks of the open file `source`; False where that can't be done."""
    handle = os.open(target, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        shared = clone(source, handle)
        if shared:
            os.fsync(handle)
    finally:
        os.close(handle)
    return shared


def copies_by_itself(path: str) -> bool:
    """Whether `path` lies on a file system whose server copies without sending the data to us."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as stream:
        mounts = [line.split() for line in stream]
    device = os.stat(path).st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    return any(fields[2] == number and fields[fields.index("-") + 1] in _COPYING for fields in mounts)


def copy_extents(target: str, source: int, work: Work) -> None:
    """Copy what isn't a hole."""

    def report(place: int) -> None:
        work.progress.update(place)
        fault_point("convert:while-writing")

    work.progress.phase("convert", total=os.fstat(source).st_size)
    handle = os.open(target, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        copy_data(source, handle, report)
        os.fsync(handle)
    finally:
        os.close(handle)
