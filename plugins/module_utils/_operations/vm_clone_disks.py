# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a clone as a plan: full copies, or layers over a base that nobody writes to any more; what is there already."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._errors import Conflict
from .._files import require_folder, require_space
from .._formats.chain import open_image
from .._formats.qcow2_header import read_header
from .._formats.reader import Reader
from .._records import Record, read_record, untouched
from .inspection import Inspected
from .operation import Tools
from .usage import domains_using, require_unused
from .vm_clone_copy import CloneDisk
from .vm_clone_source import SourceDisk
from .vm_files import NewDisk

# A top layer up to this size is copied for each clone; a larger one becomes a base that all share.
MOST_COPIED = 64 << 20
_NEARLY_NOTHING = 1 << 20
_REFLINKS = ("xfs", "btrfs", "bcachefs", "ocfs2")


@dataclass(frozen=True)
class Share:
    """The source's disk becomes a base that all may read, and the source goes on in the new overlay `path`."""

    vm: str
    target: str
    base: Inspected
    path: str

    @property
    def title(self) -> str:
        return f"let {self.vm} go on in {self.path}, so that {self.base.path} is a base that nobody writes to"

    def overlay(self) -> NewDisk:
        """The overlay to make."""
        return NewDisk(self.vm, self.path, "qcow2", self.base.virtual_size, self.base, linked=True)


def clone_path(vm: str, target: str, *, format: str, folder: str) -> str:
    """Where a clone's disk is."""
    return os.path.join(folder, f"{vm}-{target}.{format}")


def full_copy(disk: SourceDisk, *, vm: str, directory: str | None) -> CloneDisk:
    """A disk that depends on nothing."""
    folder = directory or os.path.dirname(disk.image.path)
    path = clone_path(vm, disk.target, format=disk.image.format, folder=folder)
    return CloneDisk(vm, disk.target, path, disk.image, pulled=disk.pulled, snapshot=disk.snapshot)


def linked_copy(disk: SourceDisk, *, vm: str, directory: str | None) -> CloneDisk:
    """A layer over the base that the source rests on, or over the source's disk itself where that becomes a base."""
    folder = directory or os.path.dirname(disk.image.path)
    path = clone_path(vm, disk.target, format="qcow2", folder=folder)
    if becomes_base(disk) or disk.frozen:
        return CloneDisk(vm, disk.target, path, disk.image, base=disk.image)
    return CloneDisk(vm, disk.target, path, disk.image, base=below(disk.image), top=not is_empty(disk.image))


def becomes_base(disk: SourceDisk) -> bool:
    """Whether a link to the disk makes it a base that the source leaves."""
    return not disk.frozen and not has_small_top(disk.image)


def below(image: Inspected) -> Inspected:
    """The chain without its top layer."""
    facts = image.chain[1].facts
    return Inspected(image.files[1], facts.format, facts.virtual_size, image.files[1:], image.chain[1:])


def has_small_top(image: Inspected) -> bool:
    """Whether the top layer is one that is copied rather than shared."""
    return len(image.chain) > 1 and image.format == "qcow2" and image.chain[0].allocated_size <= MOST_COPIED


def is_empty(image: Inspected) -> bool:
    """Whether the qcow2 layer on top holds nothing of its own: no level-1 entry is in use."""
    with open_image(image.path) as opened:
        reader = Reader(opened.stream, opened.size)
        header = read_header(reader)
        return not any(reader.exact(header.l1_offset, header.l1_entries * 8, what="L1 table"))


def plan_share(disk: SourceDisk, *, vm: str, tools: Tools) -> Share:
    """The overlay in which the source goes on: a new file, or the unused one of a run that was interrupted."""
    folder, number = os.path.dirname(disk.image.path), 1
    while True:
        path = os.path.join(folder, f"{vm}-{disk.target}.{number}.qcow2")
        share = Share(vm, disk.target, disk.image, path)
        if not os.path.lexists(path) or _is_left_over(path, share.overlay().record(tools.version), tools):
            return share
        number += 1


def _is_left_over(path: str, wanted: Record, tools: Tools) -> bool:
    record = read_record(path)
    if record is None or not untouched(path, record) or _meaning(record) != _meaning(wanted):
        return False
    return not domains_using(path, tools)


def _meaning(record: Record) -> tuple[Any, ...]:
    return record.operation, record.format, record.virtual_size, record.source, record.options


def missing(disks: list[CloneDisk], tools: Tools) -> list[CloneDisk]:
    """Those that an interrupted run didn't leave whole; raises Conflict or InUse for a file that isn't ours.

    Disks that are pulled belong together: those of another moment are made again. So do those of a guest that is edited.
    """
    found = [disk for disk in disks if _needs_making(disk, tools)]
    points = {_point(disk) for disk in disks if disk.pulled and disk not in found}
    if len(points) > 1 or any(disk.pulled for disk in found):
        found = [disk for disk in disks if disk.pulled or disk in found]
    return list(disks) if any(disk.edited for disk in found) else found


def _point(disk: CloneDisk) -> str:
    record = read_record(disk.path)
    return str(record.source.get("point", "")) if record else ""


def _needs_making(disk: CloneDisk, tools: Tools) -> bool:
    require_folder(disk.path, option="directory")
    if not os.path.lexists(disk.path):
        return True
    record = read_record(disk.path)
    if record is None or record.options.get("vm") != disk.vm or not untouched(disk.path, record):
        raise Conflict(
            f"name: {disk.path}, the place of the disk {disk.target} of {disk.vm}, is taken by a file that is no "
            "unused clone of ours; remove it, or give another name or directory."
        )
    require_unused(disk.path, tools)
    wanted = disk.record(tools.version, point=str(record.source.get("point", "")))
    return _meaning(record) != _meaning(wanted)


def require_room(disks: list[CloneDisk], *, vm: str, tools: Tools) -> None:
    """Raise NoSpace unless the copies fit, together with those of the other clones in the list."""
    for disk in disks:
        needed = space_for(disk)
        folder = os.path.dirname(disk.path)
        wanted = tools.forecast.setdefault(f"space:{folder}", {})
        wanted[disk.path] = needed
        require_space(disk.path, sum(wanted.values()), what=f"name: {disk.path} (with {len(wanted)} disks of clones)")


def space_for(disk: CloneDisk) -> int:
    """Most bytes that the disk takes when it is made."""
    if disk.base:
        return disk.source.chain[0].allocated_size if disk.top else _NEARLY_NOTHING
    if disk.pulled:
        held = sum(os.stat(path).st_blocks * 512 for path in disk.source.files if os.path.exists(path))
    elif len(disk.source.files) == 1 and _file_system(os.path.dirname(disk.path)) in _REFLINKS:
        return _NEARLY_NOTHING
    else:
        held = sum(link.allocated_size for link in disk.source.chain)
    return min(held, disk.source.virtual_size + _NEARLY_NOTHING)


def _file_system(folder: str) -> str:
    """The type of the file system that holds `folder`, from /proc/self/mountinfo."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            fields, _dash, rest = line.partition(" - ")
            if fields.split()[2] == wanted:
                return rest.split()[0]
    return ""
