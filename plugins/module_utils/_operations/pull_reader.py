# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of a running VM as they were at one moment, read over NBD while the guest goes on writing.

QEMU copies what the guest overwrites into scratch files first: libvirt's backup in pull mode (pull_domain), or the same by QMP
(pull_process). Nothing is changed in the VM's disks or its description, and nothing stays when it ends. A backup that a killed
run of ours left is ended by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._commands import Commands
from .._errors import EngineError, InUse, NoSpace, TransferError
from .._faults import fault_point
from .._files import require_space
from .._formats.compress_pool import workers
from .._locks import holder, wait_for_lock
from .._qemu.image import Image, QemuImg
from .._qemu.nbd_export import ExportedContent
from .._sizes import format_size
from .._transfer.nbd import NbdClient
from .operation import Tools
from .pull_domain import DomainPull
from .pull_process import ProcessPull
from .pull_source import Pull, Source

_SOCKET = "socket"
# What a guest overwrites while it is read may take as much as its disks; with less room left the reading ends, since QEMU would
# else refuse the guest's own writes.
LEAST_ROOM = 256 << 20
_ANSWER_SECONDS = 600.0
# For a backup that is just ending; others may take hours.
ALONE_SECONDS = 60.0


class PulledDisk(ExportedContent):
    """A disk at the moment when the backup began: `size`, `extents` and `read`, the last by several threads at once."""

    def __init__(self, connections: Sequence[NbdClient], folder: str) -> None:
        super().__init__(connections)
        self._folder = folder

    def read(self, offset: int, length: int) -> bytes:
        """As ExportedContent does; raises NoSpace before the guest's writes could fail for want of room."""
        found = os.statvfs(self._folder)
        free = found.f_bavail * found.f_frsize
        if free < LEAST_ROOM:
            raise NoSpace(
                f"source: only {format_size(free)} are left in {self._folder}, where QEMU keeps what the guest overwrites while "
                "its disks are read; the reading was ended for the guest's sake. Free some space, and run the task again."
            )
        return super().read(offset, length)


@contextlib.contextmanager
def pull_backup(
    source: Source,
    targets: Sequence[str],
    *,
    tools: Tools,
    around: contextlib.AbstractContextManager[object] | None = None,
) -> Iterator[Mapping[str, PulledDisk]]:
    """The disks `targets` of the running VM, all as they were when it began; `around` holds the guest still for that moment.

    Raises InUse when another backup is under way, EngineError when the backup broke off before the block ended.
    """
    pull: Pull = ProcessPull(source, tools) if source.socket else DomainPull(source, tools)
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, _alone(pull.folder, source, tools))
        pull.end_stale()
        shutil.rmtree(pull.folder, ignore_errors=True)
        stack.callback(shutil.rmtree, pull.folder, ignore_errors=True)
        scratch = _scratch(pull, targets)
        stack.callback(pull.end)
        fault_point("pull:before-begin")
        with around or contextlib.nullcontext():
            pull.begin(socket=os.path.join(pull.folder, _SOCKET), scratch=scratch)
        fault_point("pull:begun")
        try:
            with _connected(pull.folder, targets) as disks:
                yield disks
        except TransferError as error:
            raise EngineError(f"source: the backup of {source.name} broke off: {error}", **error.details) from None
        fault_point("pull:read")
        if not pull.is_whole():
            raise EngineError(f"source: the backup of {source.name} ended before all was read; run the task again.")


def _alone(folder: str, source: Source, tools: Tools) -> int:
    """The lock of the one backup that a VM has: what nobody holds it for was left by a run that was killed; raises InUse."""
    handle = wait_for_lock(folder, timeout=ALONE_SECONDS, wait=tools.clock.wait_until)
    if handle is None:
        raise InUse(
            f"source: another job reads the disks of {source.name} (process {holder(folder) or 'unknown'}), and did not end within "
            f"{ALONE_SECONDS:g} seconds; run the task again when it has."
        )
    return handle


def _scratch(pull: Pull, targets: Sequence[str]) -> dict[str, str]:
    """The empty files that get what the guest overwrites, in a folder that only QEMU's user may enter."""
    user, group = pull.owner()
    run = os.path.dirname(pull.folder)
    os.makedirs(os.path.dirname(run), mode=0o711, exist_ok=True)
    for path, mode in ((run, 0o710), (pull.folder, 0o700)):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
    if user:
        # Of all accounts only QEMU's group may pass; root needs no leave, and takes it from nobody.
        _give(run, -1, group)
    _give(pull.folder, user, group)
    require_space(os.path.join(pull.folder, _SOCKET), 2 * LEAST_ROOM, what="source: reading a running VM")
    found = {}
    for target in targets:
        found[target] = os.path.join(pull.folder, f"{target}.scratch")
        QemuImg(Commands()).create(Image(found[target], "qcow2"), size=pull.size(target))
        _give(found[target], user, group)
    return found


def _give(path: str, user: int, group: int) -> None:
    if os.geteuid() == 0:
        os.chown(path, user, group)


@contextlib.contextmanager
def _connected(folder: str, targets: Sequence[str]) -> Iterator[dict[str, PulledDisk]]:
    """Some connections per disk: one asks where data are, the others read."""
    with contextlib.ExitStack() as stack:
        disks = {}
        for target in targets:
            clients = [_client(folder, target) for _number in range(workers() + 1)]
            for client in clients:
                stack.callback(client.close)
            disks[target] = PulledDisk(clients, folder)
        yield disks


def _client(folder: str, target: str) -> NbdClient:
    path = os.path.join(folder, _SOCKET)

    def begin(handle: Any) -> None:
        handle.set_export_name(target)
        handle.aio_connect_unix(path)

    return NbdClient(begin, where=f"{path} ({target})", idle_timeout=_ANSWER_SECONDS)
