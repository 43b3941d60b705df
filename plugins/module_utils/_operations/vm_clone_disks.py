# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a clone: full copies, or layers over a base that nobody writes to any more."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._commands import Commands
from .._errors import Conflict
from .._files import partial_path, remove, require_folder, require_space
from .._formats.chain import open_image
from .._formats.names import qemu_driver
from .._formats.qcow2_header import read_header
from .._formats.reader import Reader
from .._qemu.image import Image, convert_arguments
from .._qemu.options import engine_arguments
from .._qemu.percent import run_with_percent
from .._records import Record, publish_with_record, read_record, untouched
from .inspection import Inspected
from .operation import Tools
from .usage import domains_using, require_unused
from .vm_clone_source import SourceDisk
from .vm_files import MODE, NewDisk, make, source_of

# A top layer up to this size is copied for each clone; a larger one becomes a base that all share.
MOST_COPIED = 64 << 20
_REFLINKS = ("xfs", "btrfs", "bcachefs", "ocfs2")


@dataclass(frozen=True)
class CloneDisk:
    """A disk to make: a full copy of `source`, or a layer over `base`, with `top` it also holds what `source` holds."""

    vm: str
    target: str
    path: str
    source: Inspected
    base: Inspected | None = None
    top: bool = False

    @property
    def format(self) -> str:
        return "qcow2" if self.base else self.source.format

    @property
    def driver(self) -> str:
        """QEMU's name of the format."""
        return qemu_driver(self.format)

    @property
    def title(self) -> str:
        if self.base is None:
            return f"copy {self.source.path} to {self.path}"
        return f"make {self.path} over {self.base.path}" + (f" with what {self.source.path} holds" if self.top else "")

    def facts(self) -> dict[str, Any]:
        """What results show of it."""
        backing = self.base.path if self.base else ""
        return {"target": self.target, "path": self.path, "format": self.format, "backing": backing}

    def record(self, version: str) -> Record:
        """The record that goes on the file."""
        if not self.top or self.base is None:
            return self._new().record(version)
        return Record(
            operation="clone",
            format=self.format,
            virtual_size=self.source.virtual_size,
            source=source_of(self.source),
            options={"vm": self.vm, "backing": self.base.path, "backing_format": self.base.format},
            tool=f"imageops.fleet {version}",
        )

    def make(self, commands: Commands, version: str) -> None:
        """Make the file, whole or not at all."""
        if not self.top or self.base is None:
            make(self._new(), commands, version=version)
            return
        partial = partial_path(self.path)
        remove(partial)
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE))
        try:
            run_with_percent(self._copy_of_top(partial, self.base), lambda percent: None)
            publish_with_record(partial, self.path, self.record(version))
        finally:
            remove(partial)

    def _copy_of_top(self, partial: str, base: Inspected) -> list[str]:
        facts = self.source.chain[0].facts
        options = {"cluster_size": facts.cluster_size, "extended_l2": facts.header.get("extended_l2", False)}
        return convert_arguments(
            Image(self.source.path, self.source.format),
            Image(partial, "qcow2"),
            options=engine_arguments("qcow2", options),
            backing=Image(base.path, base.format),
        )

    def _new(self) -> NewDisk:
        image = self.base or self.source
        return NewDisk(self.vm, self.path, self.format, self.source.virtual_size, image, linked=self.base is not None)


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
    return CloneDisk(vm, disk.target, clone_path(vm, disk.target, format=disk.image.format, folder=folder), disk.image)


def linked_copy(disk: SourceDisk, *, vm: str, directory: str | None, shared: bool) -> CloneDisk:
    """A layer over the base that the source rests on, or (`shared`) over the source's disk itself."""
    folder = directory or os.path.dirname(disk.image.path)
    path = clone_path(vm, disk.target, format="qcow2", folder=folder)
    if shared:
        return CloneDisk(vm, disk.target, path, disk.image, base=disk.image)
    return CloneDisk(vm, disk.target, path, disk.image, base=below(disk.image), top=not is_empty(disk.image))


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


def needs_making(disk: CloneDisk, tools: Tools) -> bool:
    """False when an interrupted run left the disk whole; raises Conflict or InUse for a file that isn't ours."""
    require_folder(disk.path, option="directory")
    if not os.path.lexists(disk.path):
        return True
    record = read_record(disk.path)
    if record is None or record.options.get("vm") != disk.vm or not untouched(disk.path, record):
        raise Conflict(
            f"name: {disk.path}, the place of the disk {disk.target} of {disk.vm}, is taken by a file that is no "
            "unused clone of "
            f"ours; remove it, or give another name or directory."
        )
    require_unused(disk.path, tools)
    return _meaning(record) != _meaning(disk.record(tools.version))


def require_room(disks: list[CloneDisk], *, vm: str, tools: Tools) -> None:
    """Raise NoSpace unless the copies fit, together with those of the other clones in the list."""
    for disk in disks:
        needed = _needed(disk)
        folder = os.path.dirname(disk.path)
        wanted = tools.forecast.setdefault(f"space:{folder}", {})
        wanted[disk.path] = needed
        require_space(disk.path, sum(wanted.values()), what=f"name: {disk.path} (with {len(wanted)} disks of clones)")


def _needed(disk: CloneDisk) -> int:
    """Most bytes that the disk takes when it is made."""
    if disk.base:
        return disk.source.chain[0].allocated_size if disk.top else 1 << 20
    if len(disk.source.files) == 1 and _file_system(os.path.dirname(disk.path)) in _REFLINKS:
        return 1 << 20
    held = sum(link.allocated_size for link in disk.source.chain)
    return min(held, disk.source.virtual_size + (1 << 20))


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
