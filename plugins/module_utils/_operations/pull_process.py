# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a QEMU process without libvirt: a backup in pull mode, begun, known as ours and ended by QMP.

Each act is a session of its own, since QEMU serves one client at a time, and others want to look at the VM meanwhile.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping

from .._errors import EngineError, InUse, NotFound, TimedOut
from .._hypervisor.qmp_process import QemuProcess
from .._hypervisor.qmp_pull import begin_pull, end_pull, foreign_server, is_pulled, is_served_by_others
from .._transfer.nbd import library
from .operation import Tools
from .pull_source import END_SECONDS, Source, process_key, pull_folder

_SOCKET = "socket"


def require_readable_process(process: QemuProcess) -> None:
    """Raise, while a task is planned, what would speak against reading the process: MissingLibrary or InUse."""
    library()
    if is_served_by_others(process):
        raise foreign_server(process)


class ProcessPull:
    """The backup of one process."""

    def __init__(self, source: Source, tools: Tools) -> None:
        self._source = source
        self._tools = tools
        self._count = 0
        self.folder = pull_folder(process_key(source.socket))

    @contextlib.contextmanager
    def _session(self) -> Iterator[QemuProcess]:
        try:
            yield self._tools.process(self._source.socket)
        finally:
            self._tools.leave(self._source.socket)

    def end_stale(self) -> None:
        with self._session() as process:
            if is_served_by_others(process):
                raise foreign_server(process)
        self.end()

    def owner(self) -> tuple[int, int]:
        with self._session() as process:
            return process.owner

    def size(self, target: str) -> int:
        with self._session() as process:
            sizes = {disk.target: disk.size for disk in process.disks()}
        if target not in sizes:
            raise EngineError(f"source: {self._source.name} has no disk {target} any more; run the task again.")
        return sizes[target]

    def begin(self, *, socket: str, scratch: Mapping[str, str]) -> None:
        self._count = len(scratch)
        with self._session() as process:
            begin_pull(process, socket=socket, scratch=scratch)

    def is_whole(self) -> bool:
        with contextlib.suppress(NotFound), self._session() as process:
            return is_pulled(process, self._count)
        return False

    def end(self) -> None:
        if not self._tools.clock.wait_until(self._gone, END_SECONDS):
            raise TimedOut(
                f"source: the backup of {self._source.name} could not be ended within {END_SECONDS:g} seconds; run the task again, "
                f"which ends it."
            )

    def _gone(self) -> bool:
        """Ended with the process, or by us."""
        try:
            with self._session() as process:
                # The socket's file may be gone with what a killed job left.
                return end_pull(process, serves=process.has_socket(os.path.join(self.folder, _SOCKET)))
        except NotFound:
            return True
        except (EngineError, InUse, TimedOut):
            # Somebody else talks with it, or it is busy with its end.
            return False
