# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM that is a QEMU process with a QMP socket, and nothing else: what it is, and its switches."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

from .._errors import EngineError, TimedOut
from .process_facts import listens_at, owner_of
from .qmp_disks import QmpDisk, read_disks
from .qmp_socket import COMMAND_TIMEOUT, open_session

SCHEME = "qmp://"
_PAUSE = 0.02
# RunState of qapi/run-state.json in our words; what isn't here runs, or is about to.
_STATES = {
    "paused": "paused",
    "prelaunch": "paused",
    "inmigrate": "paused",
    "postmigrate": "paused",
    "io-error": "paused",
    "debug": "paused",
    "watchdog": "paused",
    "shutdown": "stopped",
    "internal-error": "crashed",
    "guest-panicked": "crashed",
    "suspended": "suspended",
}


class QemuProcess:
    """The process behind one socket; many threads may use it, one call at a time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.uri = SCHEME + path
        self._turn = threading.Lock()
        self._session, self._pid = open_session(path)
        try:
            self.execute("query-status")
            self.own_name: str = self.execute("query-name").get("name", "")
            self.name = self.own_name or os.path.splitext(os.path.basename(path))[0]
            self.uuid: str = self.execute("query-uuid")["UUID"]
        except BaseException as error:
            self.close()
            if isinstance(error, EngineError) and "has not been found" in str(error):
                raise EngineError(f"socket: what answers at {path} speaks QMP, but is no virtual machine.") from None
            raise

    def execute(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        *,
        timeout: float | None = None,
        fd: int | None = None,
    ) -> Any:
        """One QMP command; raises EngineError and its like, TimedOut."""
        with self._turn:
            return self._session.execute(command, arguments, timeout=timeout, fd=fd)

    def close(self) -> None:
        """End the session; the VM goes on."""
        with self._turn:
            self._session.close()

    @property
    def owner(self) -> tuple[int, int]:
        """The user and the group that it runs as."""
        return owner_of(self._pid)

    def has_socket(self, path: str) -> bool:
        """Whether it listens at a socket that only it was told of."""
        return listens_at(self._pid, path)

    @property
    def state(self) -> str:
        """running, paused, stopped (the guest is off, the process is there), crashed or suspended."""
        return _STATES.get(self.execute("query-status")["status"], "running")

    @property
    def active(self) -> bool:
        """Whether the guest is on; after a shutdown most processes end, and those with -no-shutdown stay."""
        try:
            return self.state != "stopped"
        except EngineError:
            return False

    def suspend(self) -> None:
        """Pause its CPUs."""
        self.execute("stop")

    def resume(self) -> None:
        """Let its CPUs run on."""
        self.execute("cont")

    def shutdown(self) -> None:
        """Press the power button; returns at once."""
        self.execute("system_powerdown")

    def destroy(self) -> None:
        """End the process, which closes its images first, and wait for that."""
        deadline = time.monotonic() + COMMAND_TIMEOUT
        with contextlib.suppress(EngineError):
            self.execute("quit")
            while time.monotonic() < deadline:
                self.execute("query-status")
                time.sleep(_PAUSE)
            raise TimedOut(f"QEMU at {self.path} was told to quit and did not within {COMMAND_TIMEOUT:g} seconds.")

    def disks(self) -> list[QmpDisk]:
        """Its disks as they are now."""
        return read_disks(self.execute("query-block"))

    def hardware(self) -> dict[str, Any]:
        """Memory in bytes as plugged in and as the balloon leaves it, CPUs, acceleration, version of QEMU."""
        memory = self.execute("query-memory-size-summary")
        version = self.execute("query-version")["qemu"]
        size = memory["base-memory"] + memory.get("plugged-memory", 0)
        return {
            "memory": size,
            "memory_now": self._balloon() or size,
            "vcpus": len(self.execute("query-cpus-fast")),
            "acceleration": {
                "type": "kvm" if self.execute("query-kvm")["enabled"] else "tcg",
                "reason": "as the process was started",
            },
            "qemu_version": f"{version['major']}.{version['minor']}.{version['micro']}",
        }

    def _balloon(self) -> int:
        """Bytes that the balloon leaves to the guest, 0 for a VM without one."""
        try:
            return int(self.execute("query-balloon")["actual"])
        except EngineError:
            return 0
