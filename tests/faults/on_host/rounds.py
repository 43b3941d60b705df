# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds: one interruption each, then the proof that nothing was lost, that the next run finishes, and that nothing is left."""

from __future__ import annotations

import subprocess
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import strikes
from processes import of_unit
from scenario import NEW, OLD, Scenario

JOINED = "joined"
_PATIENCE = 600.0


class Broken(Exception):
    """An expectation that did not hold."""


# What ends a round and not the driver.
FAILURES = (Broken, RuntimeError, OSError, subprocess.SubprocessError)


@dataclass
class Round:
    """What became of a round; `seen` is what the name showed after the interruption, `said` what the interrupted run told."""

    scenario: str
    strike: str
    hit: bool = False
    seen: str = ""
    converged: bool = False
    left: list[str] = field(default_factory=list)
    lost: bool = False
    problem: str = ""
    said: str = ""
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Lengths:
    """Seconds that an undisturbed run takes: the module, its helper, and when in the helper's life an engine works first and last."""

    module: float
    helper: float
    engine: tuple[float, float]


def measured(scenario: Scenario) -> Lengths:
    """Run once undisturbed; it must end well, change something, and leave nothing."""
    scenario.fresh()
    if scenario.look() != OLD:
        raise Broken(f"it doesn't begin as the old one: {scenario.look()}")
    began = time.monotonic()
    process = scenario.room.start(scenario.module, scenario.options)
    unit: list[float] = []
    engine: list[float] = []
    while process.poll() is None and time.monotonic() - began < _PATIENCE:
        names = [name for _pid, name in of_unit(scenario.job)] if scenario.kind else []
        unit += [time.monotonic()] if names else []
        engine += [time.monotonic()] if any(name.startswith("qemu-") for name in names) else []
        time.sleep(0.002)
    length, start = time.monotonic() - began, unit[0] if unit else 0.0
    said = scenario.room.answer(process)
    _require(not said.get("failed") and said.get("changed") is (scenario.done == NEW), f"undisturbed: {_told(said)}")
    _require(scenario.look() == scenario.done, f"undisturbed, it is not the new one: {scenario.look()}")
    _finish(scenario, Round(scenario.name, "none"))
    at_work = (engine[0] - start, engine[-1] - start) if engine else (0.0, 0.0)
    return Lengths(length, unit[-1] - start if unit else 0.0, at_work)


def play(scenario: Scenario, strike: strikes.Strike, lengths: Lengths) -> Round:
    """One round."""
    outcome = Round(scenario.name, str(strike))
    began = time.monotonic()
    try:
        _play(scenario, strike, lengths, outcome)
    except FAILURES as error:
        outcome.problem = str(error)[:1500]
    finally:
        strike.undo(scenario)
        strike.end()
    outcome.seconds = round(time.monotonic() - began, 2)
    return outcome


def _play(scenario: Scenario, strike: strikes.Strike, lengths: Lengths, outcome: Round) -> None:
    room, job = scenario.room, scenario.job
    scenario.fresh()
    strike.before(scenario)
    process = strike.start(scenario)
    outcome.hit = strike.hit(scenario, process, lengths)
    said = room.answer(process)
    outcome.said = str(said.get("msg", ""))[:400] if said.get("failed") else ""
    _require_sentence(said, killed=strike.takes_module)
    if strike.fault:
        outcome.hit = bool(said.get("failed") or said.get("lost"))
        _require(outcome.hit, f"nothing failed: {_told(said)}")
    if strike.rejoins and of_unit(job):
        # The next run meets the job at work.
        outcome.seen = JOINED
    else:
        room.wait_for_job(job)
        strike.settle(scenario)
        outcome.seen = _seen(scenario, outcome)
        if strike.cleans:
            outcome.left = room.left(job, kept=scenario.kept)
            _require(not outcome.left, f"left at once: {outcome.left}")
    strike.undo(scenario)
    _finish(scenario, outcome, thorough=strike.thorough)


def _seen(scenario: Scenario, outcome: Round) -> str:
    seen = scenario.look()
    if seen not in (OLD, NEW):
        outcome.lost = True
        raise Broken(f"neither old nor new: {seen}")
    return seen


def _finish(scenario: Scenario, outcome: Round, *, thorough: bool = True) -> None:
    """The next run ends well, one more changes nothing, the image is the new one and sound, nothing is left."""
    room = scenario.room
    said = room.call(scenario.module, scenario.options)
    _require(not said.get("failed") and not said.get("lost"), f"the next run failed: {_told(said)}")
    seen = scenario.look()
    outcome.lost = outcome.lost or seen not in (OLD, NEW)
    _require(seen == scenario.done, f"after the next run: {seen}; {_told(said)}")
    _require(not scenario.problems(), f"after the next run: {scenario.problems()}")
    if thorough:
        again = room.call(scenario.module, scenario.options)
        _require(again.get("changed") is False and not again.get("failed"), f"a third run: {_told(again)}")
    outcome.left = room.left(scenario.job, kept=scenario.garbage)
    _require(not outcome.left, f"left over: {outcome.left}")
    outcome.converged = True


def together(scenario: Scenario, count: int) -> Round:
    """So many equal runs at the same moment: nobody fails, one content, nothing left."""
    outcome = Round(scenario.name, f"{count} runs at once", hit=True)
    began = time.monotonic()
    try:
        scenario.fresh()
        processes = [scenario.room.start(scenario.module, scenario.options) for _number in range(count)]
        # The files of runs that still go on must not be tidied away by the first answer.
        answers = scenario.room.answers(processes)
        bad = [said for said in answers if said.get("failed") or said.get("lost") or "traceback" in said]
        _require(not bad, f"{len(bad)} of {count} failed: {_told(bad[0]) if bad else ''}")
        outcome.seen = _seen(scenario, outcome)
        _require(outcome.seen == scenario.done, "all ended well, and it is the old one")
        _finish(scenario, outcome)
    except FAILURES as error:
        outcome.problem = str(error)[:1500]
    outcome.seconds = round(time.monotonic() - began, 2)
    return outcome


def _require_sentence(said: dict[str, Any], *, killed: bool) -> None:
    _require("traceback" not in said, f"a traceback: {said.get('traceback')}")
    if said.get("lost"):
        _require(killed, f"a run said nothing: {said['msg']}")
    elif said.get("failed"):
        _require(bool(said.get("msg")), f"no sentence: {said}")


def _told(said: dict[str, Any]) -> str:
    """A result in short."""
    return str(said.get("msg") or said)[:600] + str(said.get("traceback", ""))[-600:]


def _require(condition: bool, text: str) -> None:
    if not condition:
        raise Broken(text)
