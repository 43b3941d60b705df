# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of a running VM as they were at one moment, read over NBD while the guest goes on writing.

libvirt's backup in pull mode: QEMU copies what the guest overwrites into scratch files first. Nothing is changed in the VM's
disks or its description, and nothing stays when it ends. A backup that a killed run of ours left is ended by the next one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._commands import Commands
from .._errors import EngineError, ImageOpsError, InUse, NoSpace, TimedOut, TransferError
from .._faults import fault_point
from .._files import require_space, state_top
from .._formats.compress_pool import workers
from .._hypervisor.backup import backup_socket, begin_pull, end_backup, process_owner
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._qemu.image import Image, QemuImg
from .._qemu.nbd_export import ExportedContent
from .._sizes import format_size
from .._transfer.nbd import NbdClient, library
from .operation import Tools

_RUN = "run"
_SOCKET = "socket"
# What a guest overwrites while it is read may take as much as its disks; with less room left the reading ends, since QEMU would
# else refuse the guest's own writes.
LEAST_ROOM = 256 << 20
_ANSWER_SECONDS = 600.0
_END_SECONDS = 60.0


@dataclass(frozen=True)
class Source:
    """The running VM `name` at the libvirt connection `uri`."""

    name: str
    uri: str

    def domain(self, connection: Connection) -> Domain:
        """The VM; raises EngineError when it is gone, or doesn't run."""
        found = connection.domain(self.name)
        if found is None or not found.active:
            raise EngineError(f"source: {self.name} doesn't run any more; run the task again.")
        return found


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


def pull_folder(uuid: str) -> str:
    """Where socket and scratch files of a VM's backup are; a name that a job's `leaves` may have."""
    return os.path.join(state_top(), _RUN, f"pull-{uuid}")


def require_readable(domain: Domain) -> None:
    """Raise, while a task is planned, what would speak against reading the running VM: MissingLibrary, Unsupported or InUse."""
    library()
    _own_socket(domain)


def _own_socket(domain: Domain) -> str | None:
    """The socket of a backup of ours that is under way; raises InUse for one of somebody else."""
    socket = backup_socket(domain)
    if socket is not None and not _is_ours(socket, pull_folder(domain.uuid)):
        raise InUse(
            f"source: somebody else's backup of {domain.name} is under way; run the task again when it has ended."
        )
    return socket


@contextlib.contextmanager
def pull_backup(
    source: Source,
    targets: Sequence[str],
    *,
    tools: Tools,
    around: contextlib.AbstractContextManager[object] | None = None,
) -> Iterator[Mapping[str, PulledDisk]]:
    """The disks `targets` of the running VM, all as they were when it began; `around` holds the guest still for that moment.

    Raises InUse when somebody else's backup is under way, EngineError when the backup broke off before the block ended.
    """
    connection = tools.hypervisor(source.uri)
    domain = source.domain(connection)
    folder = pull_folder(domain.uuid)
    _end_stale(source, domain, folder, tools)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        scratch = _scratch(domain, folder, targets)
        stack.callback(_end, source, folder, tools)
        fault_point("pull:before-begin")
        with around or contextlib.nullcontext():
            begin_pull(domain, socket=os.path.join(folder, _SOCKET), scratch=scratch)
        fault_point("pull:begun")
        try:
            with _connected(folder, targets) as disks:
                yield disks
        except TransferError as error:
            raise EngineError(f"source: the backup of {source.name} broke off: {error}", **error.details) from None
        fault_point("pull:read")
        _require_whole(source, folder)


def _end_stale(source: Source, domain: Domain, folder: str, tools: Tools) -> None:
    if _own_socket(domain) is not None:
        _end(source, folder, tools)
    shutil.rmtree(folder, ignore_errors=True)


def _is_ours(socket: str | None, folder: str) -> bool:
    return socket is not None and os.path.dirname(socket) == folder


def _scratch(domain: Domain, folder: str, targets: Sequence[str]) -> dict[str, str]:
    """The empty files that get what the guest overwrites, in a folder that only QEMU's user may enter."""
    user, group = process_owner(domain)
    run = os.path.dirname(folder)
    os.makedirs(os.path.dirname(run), mode=0o711, exist_ok=True)
    for path, mode in ((run, 0o710), (folder, 0o700)):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path, mode)
    # Of all accounts only QEMU's group may pass.
    _give(run, -1, group)
    _give(folder, user, group)
    require_space(os.path.join(folder, _SOCKET), 2 * LEAST_ROOM, what="source: reading a running VM")
    found = {}
    for target in targets:
        found[target] = os.path.join(folder, target)
        QemuImg(Commands()).create(Image(found[target], "qcow2"), size=domain.capacity(target))
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


def _require_whole(source: Source, folder: str) -> None:
    """Raise EngineError when the backup ended before we did: then what was read last isn't of the moment it began.

    Asked with a connection of its own, since the daemon may have been restarted meanwhile.
    """
    connection = Connection.open(source.uri)
    try:
        socket = backup_socket(source.domain(connection))
    finally:
        connection.close()
    if not _is_ours(socket, folder):
        raise EngineError(f"source: the backup of {source.name} ended before all was read; run the task again.")


def _end(source: Source, folder: str, tools: Tools) -> None:
    """End our backup and wait until it is gone; raises TimedOut when libvirt can't be asked to."""

    def gone() -> bool:
        try:
            connection = Connection.open(source.uri)
        except EngineError:
            # The daemon is being restarted.
            return False
        try:
            return _is_gone(connection.domain(source.name), folder)
        finally:
            with contextlib.suppress(ImageOpsError):
                connection.close()

    if not tools.clock.wait_until(gone, _END_SECONDS):
        raise TimedOut(
            f"source: the backup of {source.name} could not be ended within {_END_SECONDS:g} seconds; run the task again, or end it "
            f"with 'virsh domjobabort {source.name}'."
        )


def _is_gone(domain: Domain | None, folder: str) -> bool:
    try:
        if domain is None or not domain.active or not _is_ours(backup_socket(domain), folder):
            return True
        end_backup(domain)
    except EngineError:
        return False
    return False
