# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, EngineError
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import attended, launch, waiting
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.lease import CANCEL, Lease, grant
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState, digest, write_state
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock

pytestmark = pytest.mark.usefixtures("state_dir")
PHASES = [
    {"name": "convert", "bytes": 1000, "seconds": 2.0, "rate": 500.0},
    {"name": "verify", "bytes": 0, "seconds": 0.1, "rate": None},
]


def test_facts_are_those_of_the_largest_phase() -> None:
    state = JobState("x", "k", "r", status="done", launcher="setsid", started=10, updated=12.5, phases=PHASES)
    state.result = {"verify": "deep"}
    assert waiting.job_facts(state) == {
        "id": "x",
        "launcher": "setsid",
        "bytes": 1000,
        "seconds": 2.5,
        "rate": 500.0,
        "phases": PHASES,
        "verify": "deep",
    }


def test_facts_without_phases() -> None:
    facts = waiting.job_facts(JobState("x", "k", "r", status="done"))
    assert (facts["bytes"], facts["rate"]) == (0, None)


def test_a_job_that_stopped_itself_says_why() -> None:
    state = JobState("x", "k", "r", status="cancelled", reason="nobody asked for it for 5 seconds")
    with pytest.raises(EngineError, match=r"was stopped \(nobody asked for it for 5 seconds\) before /t was finished"):
        waiting.ended_state(state, "x", "/t")


@pytest.mark.parametrize(("eta", "waits"), [(None, 3), (14.0, 18), (16.0, 3)])
def test_attended_mode_waits_a_moment_only(eta: float | None, waits: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(attended.ATTENDED_VARIABLE, json.dumps({}))
    clock = FakeClock()
    job = launch.Job("k", "/t", {}, lambda: "e")
    write_state(JobState(job.id, "k", digest({}), started=clock.time(), pid=7, eta=eta))
    began = clock.now()
    with pytest.raises(attended.Pending) as caught:
        launch.finish(job, clock, timeout=20)
    assert (caught.value.job, caught.value.pid, caught.value.timeout) == (job.id, 7, 20)
    assert waits <= clock.now() - began <= waits + 0.5


def test_the_plugin_carries_little_of_a_request() -> None:
    """All jobs of a task go in one argument, of at most 128 KiB."""
    state = JobState("x", "k", digest({"a": 1}), status="running")
    pending = attended.Pending("x", pid=7, timeout=None, request=state.request)
    assert len(pending.request) == 16
    for told in (pending.request, state.request):
        assert waiting.require_request(state, told) is state
    for other in (digest({"a": 2}), digest({"a": 2})[:16]):
        with pytest.raises(Conflict, match="do something else"):
            waiting.require_request(state, other)


def test_a_limit_of_time_says_that_the_job_will_stop() -> None:
    write_state(JobState("x", "k", "r", percent=12.5))
    grant("x", Lease(CANCEL, 30))
    told = str(waiting.timed_out("x", 5))
    assert told == (
        "The job x has not ended within 5 seconds (12.5 % done); it stops by itself and leaves images as they were (but for a "
        "block device and the target of a commit, which the next run finishes), unless the task is run again within 30 seconds and joins it."
    )


@pytest.mark.parametrize(
    ("text", "known"), [(None, None), ("", None), ("{}", {}), ('{"a": {"as": "changed"}}', {"a": {"as": "changed"}})]
)
def test_what_the_plugin_says(text: str | None, known: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(attended.ATTENDED_VARIABLE, raising=False)
    if text is not None:
        monkeypatch.setenv(attended.ATTENDED_VARIABLE, text)
    assert attended.attended() == known
