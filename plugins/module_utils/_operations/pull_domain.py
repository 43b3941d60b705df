# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a running VM of libvirt's: its backup in pull mode, begun, known as ours and ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping

from .._errors import EngineError, ImageOpsError, InUse, TimedOut
from .._hypervisor.backup import backup_socket, begin_pull, end_backup, process_owner
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._transfer.nbd import library
from .operation import Tools
from .pull_source import END_SECONDS, Source, pull_folder


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


class DomainPull:
    """The backup of one VM.

    Its end is asked for with connections of their own, since the daemon may have been restarted meanwhile.
    """

    def __init__(self, source: Source, tools: Tools) -> None:
        self._source = source
        self._tools = tools
        self._domain = source.domain(tools.hypervisor(source.uri))
        self.folder = pull_folder(self._domain.uuid)

    def end_stale(self) -> None:
        if _own_socket(self._domain) is not None:
            self.end()

    def owner(self) -> tuple[int, int]:
        return process_owner(self._domain)

    def size(self, target: str) -> int:
        return self._domain.capacity(target)

    def begin(self, *, socket: str, scratch: Mapping[str, str]) -> None:
        begin_pull(self._domain, socket=socket, scratch=scratch)

    def is_whole(self) -> bool:
        connection = Connection.open(self._source.uri)
        try:
            socket = backup_socket(self._source.domain(connection))
        finally:
            connection.close()
        return _is_ours(socket, self.folder)

    def end(self) -> None:
        if not self._tools.clock.wait_until(self._gone, END_SECONDS):
            raise TimedOut(
                f"source: the backup of {self._source.name} could not be ended within {END_SECONDS:g} seconds; run the task again, "
                f"or end it with 'virsh domjobabort {self._source.name}'."
            )

    def _gone(self) -> bool:
        try:
            connection = Connection.open(self._source.uri)
        except EngineError:
            # The daemon is being restarted.
            return False
        try:
            return _is_gone(connection.domain(self._source.name), self.folder)
        finally:
            with contextlib.suppress(ImageOpsError):
                connection.close()


def _is_ours(socket: str | None, folder: str) -> bool:
    return socket is not None and os.path.dirname(socket) == folder


def _is_gone(domain: Domain | None, folder: str) -> bool:
    try:
        if domain is None or not domain.active or not _is_ours(backup_socket(domain), folder):
            return True
        end_backup(domain)
    except EngineError:
        return False
    return False
