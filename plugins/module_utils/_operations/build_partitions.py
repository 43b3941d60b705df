# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file systems of a guest on a raw disk, found without libguestfs: by partition table, blkid, and the guest's fstab."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field

from .._commands import Commands
from .._errors import EngineError, Unsupported
from .._formats.chain import inspect_chain
from .._formats.fstab import needed_entries

# What this engine lets the host's kernel mount.
_FILE_SYSTEMS = ("ext2", "ext3", "ext4", "xfs", "vfat")
_TAGS = ("UUID", "LABEL", "PARTUUID", "PARTLABEL")
_PART = {"PARTUUID": "PART_ENTRY_UUID", "PARTLABEL": "PART_ENTRY_NAME"}


@dataclass(frozen=True)
class FileSystem:
    """A partition with a file system: its first byte, size, kind, and what names it in an fstab."""

    start: int
    size: int
    kind: str
    names: dict[str, str] = field(default_factory=dict)


def file_systems(disk: str) -> list[FileSystem]:
    """Those on the partitions of the raw file `disk`, or the only one where it has no partitions."""
    facts = inspect_chain(disk, declared="raw")[0].facts
    table = facts.partition_table
    places = [(one["start"], one["size"]) for one in table["partitions"]] if table else [(0, facts.virtual_size)]
    found = [_probed(disk, start, size) for start, size in places if size]
    return [one for one in found if one.kind]


def _probed(disk: str, start: int, size: int) -> FileSystem:
    blkid = shutil.which("blkid") or "/usr/sbin/blkid"
    argv = [blkid, "-p", "-o", "export", "-O", str(start), "-S", str(size), "--", disk]
    try:
        said = Commands().output(argv)
    except EngineError as error:
        # Nothing that it knows is there, or two things at once.
        if error.details.get("rc") in (2, 8):
            return FileSystem(start, size, "")
        raise
    told = dict(line.partition("=")[::2] for line in said.splitlines() if "=" in line)
    names = {tag: told[_PART.get(tag, tag)] for tag in _TAGS if told.get(_PART.get(tag, tag))}
    return FileSystem(start, size, told.get("TYPE", ""), names)


def mountable(found: list[FileSystem]) -> list[FileSystem]:
    """Those that may hold a guest's files, the largest first."""
    return sorted((one for one in found if one.kind in _FILE_SYSTEMS), key=lambda one: -one.size)


def mounts_of(fstab: str, found: list[FileSystem]) -> dict[str, FileSystem]:
    """What else the guest's fstab mounts, by mount point; raises Unsupported for what is needed and isn't on the disk."""
    told = {}
    for entry in needed_entries(fstab):
        tag, _equals, name = entry.device.partition("=")
        name = name.strip('"').lower()
        match = next((one for one in found if one.names.get(tag, "").lower() == name and name), None)
        if match is None and not entry.may_lack:
            raise Unsupported(
                f"engine: the guest mounts {entry.device} at {entry.point}, which chroot doesn't find on the disk; build it on a host with libguestfs."
            )
        if match is not None and match.kind in _FILE_SYSTEMS:
            told[entry.point] = match
    return dict(sorted(told.items()))
