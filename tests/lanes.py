# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stages in lanes: the lanes run side by side, the stages of a lane one after the other.

What is printed is one stage at a time. A lane alone shows what its stage says at once; of several, each stage is shown when
it ends. When all were silent for a minute, a line tells who is at work. A stage waits for those that it needs, in whichever
lane they are, and runs only if they passed.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from running import Running

PAUSE = 0.2  # seconds between two looks
SILENCE = 60.0  # seconds
NOT_HERE = 3  # exit code of a set-up that finds no interpreter to set up
PASSED = "passed"


@dataclass(frozen=True)
class Stage:
    """One line of the table: shell commands that must all succeed, and names of the stages that must have passed before, and of
    those that must have ended."""

    name: str
    script: str
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What became of a stage."""

    stage: str
    result: str
    seconds: float


@dataclass
class Lane:
    """Its stages that wait, and the one at work."""

    waiting: deque[Stage]
    stage: Stage | None = None
    running: Running | None = None


def log_of(logs: Path, stage: str) -> Path:
    return logs / f"{re.sub('[^a-z]+', '-', stage.lower())}.log"


class Lanes:
    """Runs each stage once, whatever became of the others."""

    def __init__(
        self, lanes: Sequence[Sequence[Stage]], *, logs: Path, folder: Path, environment: Mapping[str, str]
    ) -> None:
        self._lanes = [Lane(deque(stages)) for stages in lanes if stages]
        self._alone = len(self._lanes) == 1
        self._logs, self._folder, self._environment = logs, folder, environment
        self._outcomes: list[Outcome] = []
        self._heard = time.monotonic()

    def run(self) -> list[Outcome]:
        """What became of them, in the order in which they ended."""
        try:
            while any(lane.waiting or lane.running for lane in self._lanes):
                self._close_ended()
                for lane in self._next():
                    self._start(lane, lane.waiting.popleft())
                self._give_signs()
                time.sleep(PAUSE)
        finally:
            for running in self._at_work().values():
                running.end()
        return self._outcomes

    def _at_work(self) -> dict[str, Running]:
        return {lane.stage.name: lane.running for lane in self._lanes if lane.stage and lane.running}

    def _next(self) -> list[Lane]:
        """Lanes whose next stage can start. When nobody is at work it need not wait: what it needs will never come."""
        ended = {outcome.stage for outcome in self._outcomes}
        idle = [lane for lane in self._lanes if lane.waiting and not lane.running]
        ready = [lane for lane in idle if ended.issuperset((*lane.waiting[0].needs, *lane.waiting[0].after))]
        return ready if ready or self._at_work() else idle

    def _start(self, lane: Lane, stage: Stage) -> None:
        passed = {outcome.stage for outcome in self._outcomes if outcome.result == PASSED}
        lacking = [need for need in stage.needs if need not in passed]
        if lacking:
            self._outcomes.append(Outcome(stage.name, f"FAILED (no {lacking[0]})", 0))
            return
        if self._alone:
            self._head(stage)
        else:
            self._say(f".... {stage.name}: begins")
        lane.stage = stage
        lane.running = Running(
            stage.script,
            log_of(self._logs, stage.name),
            {**self._environment, **stage.variables},
            self._folder,
        )

    def _close_ended(self) -> None:
        for lane in self._lanes:
            code = lane.running.code() if lane.running else None
            if code is not None and lane.stage and lane.running:
                self._close(lane.stage, lane.running, code)
                lane.stage = lane.running = None

    def _close(self, stage: Stage, running: Running, code: int) -> None:
        seconds = running.seconds
        result = {0: PASSED, NOT_HERE: "not run here"}.get(code, f"FAILED ({code})")
        if not self._alone:
            self._head(stage)
        running.show()
        running.close()
        self._say(f"\n---- {stage.name}: {result}, {seconds:.0f} s")
        self._outcomes.append(Outcome(stage.name, result, seconds))

    def _give_signs(self) -> None:
        """News of a lane alone; after a long silence who is at work, since when, and what it said last."""
        if self._alone and any(running.show() for running in self._at_work().values()):
            self._heard = time.monotonic()
        if time.monotonic() - self._heard > SILENCE:
            for name, running in self._at_work().items():
                self._say(f".... {name}: {running.seconds:.0f} s, last: {running.last_line()}")

    def _head(self, stage: Stage) -> None:
        self._say(f"\n==== {stage.name} {'=' * (90 - len(stage.name))}\n")

    def _say(self, text: str) -> None:
        self._heard = time.monotonic()
        print(text, flush=True)
