# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that are published, opened: files as they were inspected, or a running VM's as they were at one moment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Callable

from .._errors import Conflict
from .._formats.compress_pool import workers
from .._formats.guest_content import GuestContent, RawContent
from .._jobs.progress import Progress
from .._qemu.nbd_export import exported
from .convert_images import source_image, told_clearly
from .image_publish_journal import spool_folder
from .image_publish_request import PublishRequest, SourceDisk, SourceVm
from .image_publish_variables import content_of
from .image_publish_work import DiskSource
from .inspection import Inspected, Pins, identity_of, inspect, pinned_identity
from .operation import Tools
from .pull_reader import pull_backup
from .pull_source import Source
from .vm_clone_still import Still


@dataclass(frozen=True)
class Opened:
    """The disks; `require_same` raises Conflict when one was written to since the task was planned. `told` are facts of the reading.

    `variables` is the content of the VM's UEFI variables, nothing where it has none.
    """

    disks: Sequence[DiskSource]
    require_same: Callable[[], None]
    told: dict[str, float] = field(default_factory=dict)
    variables: bytes = b""


@contextlib.contextmanager
def opened(request: PublishRequest, tools: Tools, progress: Progress, lock: int) -> Iterator[Opened]:
    """The disks of the request for the time of the block."""
    with contextlib.ExitStack() as stack:
        if request.vm is not None and request.vm.running:
            pulled = _pulled(request.vm, request.disks, tools, progress, stack)
            yield replace(pulled, variables=_variables(request, tools))
            return
        files = [_File(disk, stack) for disk in request.disks]
        disks = [stack.enter_context(file.content(lock)) for file in files]

        def require_same() -> None:
            for file in files:
                file.require_same()

        sources = [_source(disk, content) for disk, content in zip(request.disks, disks)]
        yield Opened(sources, require_same, variables=_variables(request, tools))


def _variables(request: PublishRequest, tools: Tools) -> bytes:
    if request.vm is None or request.vm.variables is None:
        return b""
    return content_of(request.vm.variables, folder=spool_folder(request.shown), tools=tools)


def _pulled(
    vm: SourceVm, disks: Sequence[SourceDisk], tools: Tools, progress: Progress, stack: contextlib.ExitStack
) -> Opened:
    """The disks of a running VM, read until `stack` ends."""
    progress.phase("begin the backup")
    source = Source(vm.name, vm.uri)
    still = Still(source, vm.hold, tools)
    contents = stack.enter_context(pull_backup(source, [disk.name for disk in disks], tools=tools, around=still.held()))
    held = {} if still.seconds is None else {"frozen_seconds": round(still.seconds, 3)}
    return Opened([_source(disk, contents[disk.name]) for disk in disks], lambda: None, held)


def _source(disk: SourceDisk, content: GuestContent) -> DiskSource:
    return DiskSource(disk.name, content, disk.format, disk.options)


class _File:
    """A disk in a file, held as it was inspected here and now."""

    def __init__(self, disk: SourceDisk, stack: contextlib.ExitStack) -> None:
        self._disk = disk
        pins = Pins()
        stack.callback(pins.close)
        found = inspect(disk.path, declared=disk.format, backing=disk.backing, option="disks", opener=pins.open)
        self._image: Inspected = replace(found, pinned=pins.handles)
        self.require_same()

    def require_same(self) -> None:
        """Raise Conflict when it isn't what the task looked at, by its name or by what is held of it."""
        image = self._image
        if (
            identity_of(image.files) != self._disk.files
            or pinned_identity(image.pinned, image.files) != self._disk.files
        ):
            raise Conflict(
                f"disks: {self._disk.path} was written to while it was published; run the task again when nothing writes to it."
            )

    @contextlib.contextmanager
    def content(self, lock: int) -> Iterator[GuestContent]:
        """What its guest sees."""
        image = source_image(self._image, passphrase=None)
        if image.format != "raw":
            with told_clearly(image, self._disk.path), exported(image, readers=workers(), pass_fds=(lock,)) as found:
                yield found
            return
        name = image.path if image.descriptor is None else f"/proc/self/fd/{image.descriptor}"
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield RawContent(handle, self._image.virtual_size)
        finally:
            os.close(handle)
