# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an operation is, and what it gets from outside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable

from .._commands import Commands
from .._jobs.clock import Clock
from .._plan import Plan
from .base_files import Bases

if TYPE_CHECKING:
    from .._hypervisor.connection import Connection
    from .._hypervisor.qmp_process import QemuProcess


class Tools:
    """The outside world of a planner: programs, time, hypervisors, and what earlier items will have made.

    `forecast` maps real paths (or a name such as `mac:ADDRESS`) to the facts that an earlier item of the same list predicts; a planner
    that uses one makes its plan `provisional`. `tally` counts what a query met, by group and name. `bases` are the files that disks
    are made from.
    """

    def __init__(
        self,
        *,
        commands: Commands | None = None,
        clock: Clock | None = None,
        connect: Callable[[str], Connection] | None = None,
        version: str = "",
    ) -> None:
        self.commands = commands or Commands()
        self.clock = clock or Clock()
        self.bases = Bases(self.clock)
        self.version = version
        self.forecast: dict[str, dict[str, Any]] = {}
        self.tally: Counter[tuple[str, str]] = Counter()
        self._connect = connect
        self._connections: dict[str, Connection] = {}
        self._processes: dict[str, QemuProcess] = {}

    def hypervisor(self, uri: str) -> Connection:
        """The one connection of this run to `uri`; raises MissingLibrary or EngineError."""
        if uri not in self._connections:
            # Most disk tasks find nothing to do, and need no libvirt for that.
            from .._hypervisor.connection import Connection

            self._connections[uri] = (self._connect or Connection.open)(uri)
        return self._connections[uri]

    def process(self, path: str) -> QemuProcess:
        """The one session of this run with the QEMU process behind a QMP socket; raises MissingLibrary, NotFound, EngineError."""
        if path not in self._processes:
            from .._hypervisor.qmp_process import QemuProcess

            self._processes[path] = QemuProcess(path)
        return self._processes[path]

    def leave(self, path: str) -> None:
        """End the session with a QEMU process, so that others may have one; `process` begins the next."""
        process = self._processes.pop(path, None)
        if process:
            process.close()

    def has_twice(self, name: str, item: Mapping[str, Any]) -> bool:
        """Whether an earlier item of the list, given as its options, asked the same of `name`; one whose plan is made again is the same."""
        return self.forecast.setdefault(name, {"item": item})["item"] is not item

    def close(self) -> None:
        """End all connections."""
        for connection in self._connections.values():
            connection.close()
        for process in self._processes.values():
            process.close()
        self._connections.clear()
        self._processes.clear()
        self.bases.close()


def no_survey(items: Sequence[dict[str, Any]], tools: Tools) -> None:
    """For operations whose items are looked at one by one."""


def no_locks(item: dict[str, Any], tools: Tools) -> Iterable[str]:
    """For queries: nothing is locked."""
    return ()


def just_itself(item: dict[str, Any], tools: Tools) -> Iterable[dict[str, Any]]:
    """For operations whose items are all named by the task."""
    return [item]


def nothing_to_join(item: dict[str, Any], tools: Tools) -> bool:
    """For operations that aren't jobs."""
    return False


def no_job(item: dict[str, Any], tools: Tools) -> str | None:
    """For operations that aren't jobs."""
    return None


def no_summary(tools: Tools) -> dict[str, Any]:
    """For operations whose results say it all."""
    return {}


@dataclass(frozen=True)
class Operation:
    """An operation for the runner.

    `plan` looks and decides for one item and never writes. `survey` looks once, under the locks, at what all plans will ask,
    and refuses nothing. `result` is the key of the result list. `locks` names what is locked before looking. `join` waits for a
    running job that does just this item, and says whether there was one. `parallel` is how many items are applied at once,
    unless the task's option of that name says otherwise. `expand` (queries) makes of one item those that the host has. `job_id`
    names the job that the item is done by, from its options alone: the source isn't read. `summarise` gives what is told beside
    the list, of all that the run looked at.
    """

    plan: Callable[[dict[str, Any], Tools], Plan]
    result: str
    survey: Callable[[Sequence[dict[str, Any]], Tools], None] = no_survey
    locks: Callable[[dict[str, Any], Tools], Iterable[str]] = no_locks
    join: Callable[[dict[str, Any], Tools], bool] = nothing_to_join
    job_id: Callable[[dict[str, Any], Tools], str | None] = no_job
    parallel: int = 1
    expand: Callable[[dict[str, Any], Tools], Iterable[dict[str, Any]]] = just_itself
    summarise: Callable[[Tools], dict[str, Any]] = no_summary
    lock_timeout: float = field(default=60.0)
