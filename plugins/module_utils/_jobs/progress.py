# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a job: phase, bytes, rate and time left, written to the state file at most twice a second."""

from __future__ import annotations

from typing import Any

from .clock import Clock
from .leaves import require_ours
from .state import JobState, write_state

_INTERVAL = 0.5


class Progress:
    """What a job's work reports to."""

    def __init__(self, state: JobState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._phase = ""
        self._phase_started = 0.0
        self._written = 0.0

    def phase(self, name: str, *, total: int = 0) -> None:
        """A new part of the work begins; `total` is its size in bytes, 0 when unknown."""
        self.end_phase()
        self._phase_started = self._clock.now()
        self._phase = name
        self._state.phase, self._state.total = name, total
        self._state.percent, self._state.done = 0.0, 0
        self._state.rate = self._state.eta = None
        self._write()

    def update(self, done: int) -> None:
        """`done` bytes of the phase's total are done."""
        state = self._state
        state.done = done
        state.percent = round(100.0 * done / state.total, 2) if state.total else 0.0
        passed = self._clock.now() - self._phase_started
        if passed > 0 and done > 0:
            state.rate = round(done / passed, 1)
            state.eta = round((state.total - done) / state.rate, 1) if state.rate else None
        if self._clock.now() - self._written >= _INTERVAL:
            self._write()

    def say(self, text: str) -> None:
        """What the phase is at, for people; of a phase that ended only its name is kept."""
        self._state.phase = f"{self._phase}: {text}"
        self._write()

    def end_phase(self) -> None:
        """Keep how the phase went, when there is one."""
        state = self._state
        if self._phase:
            state.phases.append(phase_facts(self._phase, state.done, self._clock.now() - self._phase_started))

    def leaves(self, *paths: str) -> None:
        """From now on just `paths` are what to clean should the job die: call it before the first of them is made.

        They are removed when the job ends in whatever way: by itself, and after a SIGKILL by the next run of the job, or when it is
        cancelled. Only hidden partial names and what lies in the state directory can be named. So what shall stay for
        the next run (a download to resume) isn't named here.
        """
        for path in paths:
            require_ours(path)
        self._state.leaves = list(paths)
        self._write(durable=True)

    def _write(self, *, durable: bool = False) -> None:
        self._written = self._clock.now()
        self._state.updated = self._clock.time()
        write_state(self._state, durable=durable)


def phase_facts(name: str, done: int, seconds: float) -> dict[str, Any]:
    """How a phase went; the rate is bytes a second, None when no bytes were counted."""
    rate = round(done / seconds, 1) if done and seconds > 0 else None
    return {"name": name, "bytes": done, "seconds": round(seconds, 3), "rate": rate}
