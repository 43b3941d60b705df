# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of a job: phase, bytes, rate and time left, written to the state file at most twice a second."""

from __future__ import annotations

from .clock import Clock
from .state import JobState, write_state

_INTERVAL = 0.5


class Progress:
    """What a job's work reports to."""

    def __init__(self, state: JobState, clock: Clock) -> None:
        self._state = state
        self._clock = clock
        self._phase_started = 0.0
        self._written = 0.0

    def phase(self, name: str, *, total: int = 0) -> None:
        """A new part of the work begins; `total` is its size in bytes, 0 when unknown."""
        self._phase_started = self._clock.now()
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

    def _write(self) -> None:
        self._written = self._clock.now()
        self._state.updated = self._clock.time()
        write_state(self._state)
