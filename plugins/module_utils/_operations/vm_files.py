# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a VM is made with: overlays, copies and empty disks, published whole with their records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from .._commands import Commands
from .._faults import fault_point
from .._files import fingerprint, partial_path, remove
from .._formats.names import qemu_driver
from .._formats.qcow2_overlay import Backing, write_empty_qcow2
from .._qemu.image import Image, QemuImg, convert_arguments
from .._records import Record, publish_with_record
from .file_copy import clone
from .inspection import Inspected, inspect

MODE = 0o600


@dataclass(frozen=True)
class NewDisk:
    """A file to make for the VM `vm`: an overlay on or a copy of `image`, or empty without one.

    `origin` is what its record says of the image beside path and fingerprint, for one of a catalog.
    """

    vm: str
    path: str
    format: str
    size: int
    image: Inspected | None
    linked: bool
    origin: Mapping[str, str] = field(default_factory=dict)

    @property
    def operation(self) -> str:
        """The record's word for it."""
        if self.image is None:
            return "create"
        return "overlay" if self.linked else "clone"

    def record(self, version: str) -> Record:
        """The record that goes on the file."""
        options: dict[str, object] = {"vm": self.vm}
        if self.image and self.linked:
            options.update(backing=self.image.path, backing_format=self.image.format)
        return Record(
            operation=self.operation,
            format=self.format,
            virtual_size=self.size,
            source={**source_of(self.image), **self.origin} if self.image else {},
            options=options,
            tool=f"imageops.fleet {version}",
        )


def source_of(image: Inspected) -> dict[str, object]:
    """What a record keeps of the image: its path and fingerprint."""
    found = fingerprint(image.path)
    return {"path": image.path, "fingerprint": found.as_dict() if found else {}}


def make(disk: NewDisk, commands: Commands, *, version: str) -> None:
    """Make the file under a hidden name, put the record on it, give it its name."""
    if disk.image and not disk.image.files:
        # It was foreseen, and is there now.
        disk = replace(disk, image=inspect(disk.image.path, declared=disk.image.format, option="image"))
    partial = partial_path(disk.path)
    remove(partial)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE))
    try:
        fault_point("vm:before-disk")
        _fill(disk, partial, commands)
        fault_point("vm:disk-written")
        publish_with_record(partial, disk.path, disk.record(version))
        fault_point("vm:disk-made")
    except BaseException:
        remove(partial)
        raise


def _fill(disk: NewDisk, partial: str, commands: Commands) -> None:
    if disk.image and not disk.linked:
        _copy(disk, partial, disk.image, commands)
    elif disk.format == "raw":
        # By its name, so that an error names it.
        os.truncate(partial, disk.size)
    else:
        below = Backing(disk.image.path, qemu_driver(disk.image.format)) if disk.image else None
        with open(partial, "wb") as stream:
            write_empty_qcow2(stream, size=disk.size, backing=below)


def _copy(disk: NewDisk, partial: str, image: Inspected, commands: Commands) -> None:
    """A full copy: by shared blocks where the file system can, else by qemu-img, which flattens a chain."""
    target = Image(partial, disk.format)
    if not (_same_bytes_will_do(disk, image) and _clone(image.path, partial)):
        commands.output(convert_arguments(Image(image.path, image.format), target))
    os.chmod(partial, MODE)
    if disk.size > image.virtual_size:
        QemuImg(commands).resize(target, size=disk.size)


def _same_bytes_will_do(disk: NewDisk, image: Inspected) -> bool:
    """Whether a copy of the file is what is wanted: one file of the format, without snapshots, which stay behind."""
    return image.format == disk.format and len(image.files) == 1 and not image.chain[0].facts.snapshots


def _clone(source: str, target: str) -> bool:
    """Whether `target` got all blocks of `source` by a reflink."""
    with open(source, "rb") as reading, open(target, "wb") as writing:
        return clone(reading.fileno(), writing.fileno())
