# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest frozen for a moment, and thawed whatever happens.

Before the guest is frozen a guard starts: a job of the host helper that thaws it at the limit, and at once when the process that
froze it died. So a SIGKILL of the module leaves no guest that can't write. The guard goes when it is released.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import Conflict, InvalidOption, TimedOut
from .._faults import fault_point
from .._files import remove, write_bytes
from .._hypervisor import agent
from .._hypervisor.domain import Domain
from .._jobs.launch import Job, running, start
from .._jobs.state import JobState, job_path, read_state
from .._jobs.waiting import ended_state
from .operation import Tools
from .thaw import thaw_surely
from .thaw_guard_job import ARMED, RELEASED, guard, holder_of

MOST_SECONDS = 300
_START_SECONDS = 30.0
_GONE_SECONDS = 5.0
_INTERVAL = 0.02
_SINCE = "since"


def require_limit(limit: float, *, option: str) -> None:
    """Raise InvalidOption for a time that a guest can't or mustn't be frozen for."""
    if not 1 <= limit <= MOST_SECONDS:
        raise InvalidOption(f"{option}: {limit} seconds are no limit for a frozen guest; give 1 to {MOST_SECONDS}.")


class Guard:
    """The guard of one VM."""

    def __init__(self, domain: Domain, tools: Tools) -> None:
        self._domain = domain
        self._tools = tools
        self._target = f"freeze of {domain.name} ({domain.uuid})"
        self.was_first = False
        self.seconds = 0.0
        self.id = Job("thaw", self._target, {}, lambda: guard.__module__).id

    def _job(self, limit: float, holder: list[int]) -> Job:
        params = {
            "uri": self._domain.uri,
            "name": self._domain.name,
            "uuid": self._domain.uuid,
            "limit": limit,
            "holder": holder,
            "job": self.id,
        }
        return Job("thaw", self._target, params, lambda: guard.__module__)

    def start(self, *, limit: float, outlives: bool) -> None:
        """Start it and see that it waits; one that `outlives` this process doesn't mind its end. Raises Conflict beside another one."""
        job, clock = self._job(limit, [] if outlives else holder_of(os.getpid())), self._tools.clock
        if not clock.wait_until(lambda: running(job, clock) is None, _GONE_SECONDS if self._released() else 0):
            raise Conflict(
                f"The VM {self._domain.name} is being frozen by another task, whose guard {self.id} thaws it soon; run the task again then."
            )
        for name in (RELEASED, _SINCE):
            remove(job_path(self.id, name))
        start(job, clock, self._tools.commands)
        clock.wait_until(lambda: self.holds() or running(job, clock) is None, _START_SECONDS, interval=_INTERVAL)
        if not self.holds():
            ended_state(read_state(self.id), self.id, self._target)
            raise Conflict(
                f"The guard {self.id} of {self._domain.name} ended before it was needed; run the task again."
            )

    def _released(self) -> bool:
        return os.path.exists(job_path(self.id, RELEASED))

    def state(self) -> JobState | None:
        """What it said last, also of an earlier freeze; None when there never was one."""
        return read_state(self.id)

    def holds(self) -> bool:
        """Whether it waits, and has neither thawed nor been released."""
        state = self.state()
        if state is None or state.ended or state.phase != ARMED or self._released():
            return False
        return running(self._job(0, []), self._tools.clock) is not None

    def freeze(self, *, limit: float) -> int:
        """Freeze the guest; how many file systems. What goes wrong is thawed at once."""
        write_bytes(job_path(self.id, _SINCE), repr(self._tools.clock.now()).encode(), durable=False)
        try:
            return agent.freeze(self._domain, timeout=int(limit))
        except BaseException:
            # An agent that didn't answer in time may yet freeze; should this not help, the guard goes on.
            with contextlib.suppress(TimedOut):
                self.thaw(timeout=1)
            raise

    def frozen_for(self) -> float:
        """Seconds since the freeze began; 0 when that isn't known."""
        try:
            with open(job_path(self.id, _SINCE), encoding="utf-8") as stream:
                return round(self._tools.clock.now() - float(stream.read()), 3)
        except (FileNotFoundError, ValueError):
            return 0.0

    def thaw(self, *, timeout: float) -> int:
        """Thaw the guest and let the guard go; how many file systems were frozen, 0 when an answer came too late.

        `was_first` then tells whether the guard had still waited, and `seconds` how long the guest was frozen.
        """
        try:
            count = thaw_surely(self._domain, self._tools.clock, timeout=timeout)
        finally:
            self.seconds = self.frozen_for()
        self.was_first = self.holds()
        fault_point("thaw:before-release")
        self.release()
        return count

    def release(self) -> None:
        """Let the guard go; when there never was one, nothing is done."""
        if self.state() is not None:
            write_bytes(job_path(self.id, RELEASED), b"", durable=False)


@dataclass
class Freeze:
    """A guest that is frozen; `file_systems` are how many. Afterwards, `seconds` is how long, and `held` whether all the time."""

    name: str
    file_systems: int
    seconds: float = 0.0
    held: bool = False

    def require_held(self) -> None:
        """Raise TimedOut, after the freeze, when it was ended by anybody but us: then what was made meanwhile is not consistent.

        The thaw itself tells. To ask before it would have the guest stay frozen for longer than the work takes.
        """
        if not self.held:
            raise TimedOut(
                f"The guest {self.name} was thawed before the work on it was done, since the time limit for its freeze had "
                f"passed; give it more time, or run the task when the host is less busy."
            )


def require_freezable(domain: Domain) -> None:
    """Raise Unsupported without an agent's channel, Conflict for a guest that doesn't run or is frozen already."""
    agent.require_channel(domain)
    if domain.state != "running":
        raise Conflict(
            f"The VM {domain.name} is {domain.state}, so its guest can't freeze its file systems; start it first."
        )
    if agent.is_frozen(domain):
        raise Conflict(
            f"The file systems of {domain.name} are frozen already, by another task or tool; thaw them first (imageops.fleet.vm_freeze "
            f"with state: thawed)."
        )


@contextlib.contextmanager
def frozen(domain: Domain, *, limit: float, tools: Tools) -> Iterator[Freeze]:
    """The guest's file systems are frozen inside, for `limit` seconds at most; a process that is killed inside leaves them thawed."""
    require_limit(limit, option="limit")
    require_freezable(domain)
    guard = Guard(domain, tools)
    guard.start(limit=limit, outlives=False)
    fault_point("thaw:guarded")
    try:
        freeze = Freeze(domain.name, guard.freeze(limit=limit))
        fault_point("thaw:frozen")
        yield freeze
    finally:
        # Even a guest that seems thawed is told: an agent that answered late may have frozen it since.
        count = guard.thaw(timeout=limit)
    freeze.seconds, freeze.held = guard.seconds, bool(count) and guard.was_first
