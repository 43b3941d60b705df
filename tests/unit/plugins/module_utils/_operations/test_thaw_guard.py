# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    EngineError,
    InvalidOption,
    NotFound,
    TimedOut,
)
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.launch import Job
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import (
    DONE,
    RUNNING,
    JobState,
    read_state,
    write_state,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations import thaw, thaw_guard, thaw_guard_job
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools


class Guest:
    """A VM whose agent freezes and thaws; `refuses` are the errors that the next commands get."""

    name, uuid, uri = "web", "u-u-i-d", "qemu:///system"

    def __init__(self) -> None:
        self.state, self.is_frozen, self.refuses, self.thaws = "running", False, [], 0

    def answer(self) -> None:
        if self.refuses:
            raise self.refuses.pop(0)


class Time(Clock):
    """Sleeping costs nothing; `at` are acts by time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.at: list[tuple[float, Any]] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        while self.at and self.at[0][0] <= self.seconds:
            self.at.pop(0)[1]()


class Phases:
    """What a job's work reports to."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def phase(self, name: str) -> None:
        self.said.append(name)


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Guest:
    found = Guest()

    def freeze(domain: Guest, *, timeout: int) -> int:
        domain.answer()
        domain.is_frozen = True
        return 2

    def thaw_it(domain: Guest, **more: Any) -> int:
        domain.answer()
        domain.thaws += 1
        count, domain.is_frozen = 2 * domain.is_frozen, False
        return count

    monkeypatch.setenv("IMAGEOPS_STATE_DIR", str(tmp_path))
    monkeypatch.setattr(thaw_guard.agent, "require_channel", lambda domain: None)
    monkeypatch.setattr(thaw_guard.agent, "is_frozen", lambda domain, **more: domain.is_frozen)
    monkeypatch.setattr(thaw_guard.agent, "freeze", freeze)
    monkeypatch.setattr(thaw_guard.agent, "thaw", thaw_it)
    monkeypatch.setattr(thaw, "find_guest", lambda uri, name, uuid: found)
    monkeypatch.setattr(thaw_guard_job, "find_guest", lambda uri, name, uuid: found)
    return found


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    found = Time()
    monkeypatch.setattr(thaw_guard_job, "Clock", lambda: found)
    return found


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, guest: Guest, clock: Time) -> Tools:
    """Jobs that wait at once; they run until they are released."""
    started: list[Job] = []

    def start(job: Job, *more: Any) -> None:
        started.append(job)
        write_state(JobState(job.id, job.kind, "", status=RUNNING, phase=thaw_guard_job.ARMED, target=job.target))

    def running(job: Job, clock: Clock) -> JobState | None:
        state = read_state(job.id)
        released = os.path.exists(thaw_guard.job_path(job.id, thaw_guard_job.RELEASED))
        return state if state and not state.ended and not released else None

    monkeypatch.setattr(thaw_guard, "start", start)
    monkeypatch.setattr(thaw_guard, "running", running)
    return Tools(clock=clock)


def params(holder: list[int]) -> dict[str, Any]:
    return {"uri": "", "name": "web", "uuid": "u-u-i-d", "limit": 10.0, "holder": holder, "job": "thaw-x"}


def test_inside_it_is_frozen_and_afterwards_not(guest: Guest, tools: Tools, clock: Time) -> None:
    with thaw_guard.frozen(guest, limit=10, tools=tools) as freeze:  # type: ignore[arg-type]
        assert guest.is_frozen and freeze.file_systems == 2
        clock.sleep(3)
    freeze.require_held()
    assert (guest.is_frozen, freeze.seconds) == (False, 3.0)
    with thaw_guard.frozen(guest, limit=10, tools=tools) as freeze:  # type: ignore[arg-type]
        assert guest.is_frozen


def test_an_error_inside_thaws(guest: Guest, tools: Tools) -> None:
    with pytest.raises(EngineError), thaw_guard.frozen(guest, limit=10, tools=tools):  # type: ignore[arg-type]
        raise EngineError("no")
    assert not guest.is_frozen and guest.thaws == 1


def test_a_freeze_that_fails_is_thawed(guest: Guest, tools: Tools) -> None:
    guest.refuses = [TimedOut("busy")]
    with pytest.raises(TimedOut, match="busy"), thaw_guard.frozen(guest, limit=10, tools=tools):  # type: ignore[arg-type]
        raise EngineError("never")
    assert guest.thaws


@pytest.mark.parametrize("how", ["thawed", "guard"])
def test_thawed_meanwhile(guest: Guest, tools: Tools, how: str) -> None:
    with thaw_guard.frozen(guest, limit=1, tools=tools) as freeze:  # type: ignore[arg-type]
        if how == "thawed":
            guest.is_frozen = False
        else:
            job = thaw_guard.Guard(guest, tools).id  # type: ignore[arg-type]
            write_state(JobState(job, "thaw", "", status=RUNNING, phase="thaw"))
    with pytest.raises(TimedOut, match="was thawed before the work"):
        freeze.require_held()


def test_refusals(guest: Guest, tools: Tools) -> None:
    guest.is_frozen = True
    with pytest.raises(Conflict, match="frozen already"), thaw_guard.frozen(guest, limit=1, tools=tools):  # type: ignore[arg-type]
        pass
    guest.is_frozen, guest.state = False, "paused"
    with pytest.raises(Conflict, match="web is paused"), thaw_guard.frozen(guest, limit=1, tools=tools):  # type: ignore[arg-type]
        pass
    for limit in (0.5, 10**400):
        with pytest.raises(InvalidOption, match="1 to 300"), thaw_guard.frozen(guest, limit=limit, tools=tools):  # type: ignore[arg-type]
            pass


def test_beside_another_guard(guest: Guest, tools: Tools) -> None:
    guard = thaw_guard.Guard(guest, tools)  # type: ignore[arg-type]
    guard.start(limit=5, outlives=True)
    with pytest.raises(Conflict, match="another task"):
        guard.start(limit=5, outlives=True)
    guard.release()
    guard.start(limit=5, outlives=True)
    assert guard.holds()


def test_a_guard_that_ends_at_once(guest: Guest, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(job: Job, *more: Any) -> None:
        error = {"type": "NotFound", "message": "The VM web was removed.", "details": {}}
        write_state(JobState(job.id, job.kind, "", status="failed", error=error))

    monkeypatch.setattr(thaw_guard, "start", failed)
    with pytest.raises(NotFound, match="was removed"):
        thaw_guard.Guard(guest, tools).start(limit=5, outlives=True)  # type: ignore[arg-type]
    monkeypatch.setattr(
        thaw_guard, "start", lambda job, *more: write_state(JobState(job.id, job.kind, "", status=DONE))
    )
    with pytest.raises(Conflict, match="ended before"):
        thaw_guard.Guard(guest, tools).start(limit=5, outlives=True)  # type: ignore[arg-type]


def test_the_guard_thaws_at_the_limit(guest: Guest, clock: Time) -> None:
    guest.is_frozen = True
    phases = Phases()
    found = thaw_guard_job.guard(params([]), phases, 0)  # type: ignore[arg-type]
    assert found == {"reason": "limit", "file_systems": 2, "seconds": 10.0}
    assert phases.said == ["armed", "thaw"] and not guest.is_frozen


def test_the_guard_thaws_when_its_holder_died(guest: Guest, clock: Time) -> None:
    guest.is_frozen = True
    found = thaw_guard_job.guard(params([os.getpid(), 1]), Phases(), 0)  # type: ignore[arg-type]
    assert found["reason"] == "holder died" and not guest.is_frozen
    assert thaw_guard_job.holder_lives(thaw_guard_job.holder_of(os.getpid()))
    assert not thaw_guard_job.holder_lives([2**22 + 1, 7])


def test_a_released_guard_leaves_the_guest_alone(guest: Guest, clock: Time) -> None:
    guest.is_frozen = True
    clock.at = [(4, lambda: thaw_guard.write_bytes(os.path.join(thaw_guard_job_folder(), "released"), b""))]
    found = thaw_guard_job.guard(params([]), Phases(), 0)  # type: ignore[arg-type]
    assert found["reason"] == "released" and 4 <= found["seconds"] < 5 and guest.is_frozen


def thaw_guard_job_folder() -> str:
    from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import job_dir

    return job_dir("thaw-x")


def test_a_guard_that_is_stopped_thaws(guest: Guest, clock: Time) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    guest.is_frozen, clock.at = True, [(4, stop)]
    with pytest.raises(KeyboardInterrupt):
        thaw_guard_job.guard(params([]), Phases(), 0)  # type: ignore[arg-type]
    assert not guest.is_frozen


def test_thawing_again_and_again(guest: Guest, clock: Time) -> None:
    guest.is_frozen, guest.refuses = True, [TimedOut("busy"), EngineError("libvirtd went")]
    assert thaw.thaw_surely(guest, clock, timeout=10) == 2  # type: ignore[arg-type]
    guest.refuses = [TimedOut("busy")] * 10000
    with pytest.raises(TimedOut, match="could not be thawed within 3 seconds: busy"):
        thaw.thaw_surely(guest, clock, timeout=3)  # type: ignore[arg-type]
    guest.state = "stopped"
    assert thaw.thaw_surely(guest, clock, timeout=0) == 0  # type: ignore[arg-type]
