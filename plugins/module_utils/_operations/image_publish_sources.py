# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks that are published, opened: files as they were inspected, or a running VM's as they were at one moment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Callable

from .._formats.guest_content import GuestContent
from .._jobs.progress import Progress
from .image_publish_journal import spool_folder
from .image_publish_request import PublishRequest, SourceDisk, SourceVm
from .image_publish_variables import content_of
from .image_publish_work import DiskSource
from .operation import Tools
from .pull_reader import pull_backup
from .pull_source import Source
from .still_files import StillFile
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
        files = [StillFile(disk.path, disk.format, disk.files, stack, doing="published") for disk in request.disks]
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
