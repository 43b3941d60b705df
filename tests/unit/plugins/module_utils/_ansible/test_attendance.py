# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.specs import batch_spec
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import attended, launch, running
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.attended import Pending
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import (
    JobState,
    digest,
    job_id,
    job_path,
    read_state,
    write_state,
)
from ansible_collections.imageops.fleet.plugins.module_utils._locks import try_lock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import long_work
from ansible_collections.imageops.fleet.plugins.module_utils._operations.long_work import job_step
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Operation, Tools
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan, Step
from ansible_collections.imageops.fleet.tests.unit.run_module import result_of

SPEC = batch_spec(
    "things",
    {"name": {"type": "str"}, "do": {"type": "str"}},
    key="name",
    defaults={"do": "make"},
    common={"timeout": {"type": "int", "default": 0}},
)


@dataclass
class World:
    """Things that are made by jobs; a job ends when the test says so."""

    started: list[str] = field(default_factory=list)
    there: set[str] = field(default_factory=set)
    others: set[str] = field(default_factory=set)
    parallel: int = 2
    handles: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def operation(self) -> Operation:
        return Operation(
            plan=self.plan,
            result="things",
            join=self.join,
            job_id=lambda item, tools: job_id("make", item["name"]),
            parallel=self.parallel,
        )

    def join(self, item: dict[str, Any], tools: Tools) -> bool:
        state = read_state(job_id("make", item["name"]))
        if state is None or item["name"] not in self.others:
            return False
        raise Pending(state.id, pid=state.pid, timeout=None, request="r")

    def plan(self, item: dict[str, Any], tools: Tools) -> Plan:
        name, source = item["name"], item["do"].partition("after ")[2]
        provisional = source in tools.forecast
        if source and not provisional and source not in self.there:
            raise Conflict(f"{source} does not exist.")
        if name in self.there:
            return Plan(name, {"x": 1}, {"x": 1}, lambda: {"x": 1})
        if item["do"] == "again" and name in tools.forecast:
            return Plan(name, {"x": 1}, {"x": 1}, lambda: {"x": 1}, provisional=True)
        tools.forecast[name] = {}
        steps = (Step(f"make {name}", lambda: self.start(name)),)
        return Plan(name, {}, {"x": 1}, lambda: {"x": 1}, steps=steps, provisional=provisional)

    def start(self, name: str) -> None:
        with self.lock:
            self.started.append(name)
            self.work(name)
        raise Pending(job_id("make", name), pid=os.getpid(), timeout=None, request="r")

    def work(self, name: str) -> None:
        """A job of the thing is at work."""
        handle = try_lock(running.write_lock(name))
        assert handle is not None
        self.handles[name] = handle
        write_state(JobState(job_id("make", name), "make", "r", status="running", target=name, pid=os.getpid()))

    def end(self, name: str, status: str = "done", **more: Any) -> None:
        os.close(self.handles.pop(name))
        state = JobState(job_id("make", name), "make", "r", status=status, target=name, started=1, updated=3, **more)
        if status != "running":
            write_state(state)
        if status == "done":
            self.there.add(name)

    def run(self, waits: dict[str, Any] | None, *items: dict[str, Any] | str, **options: Any) -> dict[str, Any]:
        things = [{"name": item} if isinstance(item, str) else item for item in items]
        with pytest.MonkeyPatch.context() as patch:
            if waits is not None:
                patch.setenv(attended.ATTENDED_VARIABLE, json.dumps(waits))
            return result_of(lambda: run_module(SPEC, self.operation()), {"things": things, **options}, diff=True)


@pytest.fixture
def world(state_dir: Any) -> Iterator[World]:
    found = World()
    yield found
    for handle in found.handles.values():
        os.close(handle)


def waits_of(result: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What the plugin hands on after a run."""
    keys = ("as", "timeout", "request")
    return {job: {**{key: entry[key] for key in keys}, "waited": 1, **more} for job, entry in result["pending"].items()}


def test_a_job_goes_on_and_its_end_is_taken(world: World) -> None:
    first = world.run({}, "a")
    job = job_id("make", "a")
    assert first["pending"] == {
        job: {
            "job": job,
            "as": "changed",
            "timeout": 0,
            "request": "r",
            "pid": os.getpid(),
            "folder": job_path(job),
        }
    }
    assert first["things"] == [{"name": "a", "changed": False, "steps": ["make a"], "pending": True}]
    assert len(first["diff"]) == 1
    again = world.run(waits_of(first), "a")
    assert list(again["pending"]) == [job] and world.started == ["a"]
    world.end("a", result={"more": 1})
    last = world.run(waits_of(first), "a")
    assert "pending" not in last and last["changed"]
    (thing,) = last["things"]
    assert (thing["job"]["id"], thing["job"]["more"], thing["x"], thing["changed"]) == (job, 1, 1, True)
    assert last["diff"] == [None]


def test_a_job_may_find_that_nothing_is_to_be_changed(world: World) -> None:
    first = world.run({}, "a")
    world.end("a", result={"changed": False})
    last = world.run(waits_of(first), "a")
    assert not last["changed"]
    assert not last["things"][0]["changed"]


def test_a_job_that_failed_fails_its_item(world: World) -> None:
    first = world.run({}, "a", "b")
    world.end("a", "failed", error={"type": "NoSpace", "message": "full.", "details": {"free": 1}})
    waits = waits_of(first)
    second = world.run(waits, "a", "b")
    assert "failed" not in second and list(second["pending"]) == [job_id("make", "b")]
    world.end("b")
    last = world.run(waits, "a", "b")
    assert last["failed"] and last["msg"] == "full." and last["changed"]
    assert [thing.get("failed", False) for thing in last["things"]] == [True, False]
    assert sorted(world.started) == ["a", "b"]


def test_a_job_that_died_fails_its_item(world: World) -> None:
    first = world.run({}, "a")
    world.end("a", "running")
    assert "died before a was finished" in world.run(waits_of(first), "a")["msg"]


def test_no_more_jobs_than_may_run_beside_each_other(world: World) -> None:
    first = world.run({}, "a", "b", "c", "d")
    assert sorted(world.started) == ["a", "b"]
    assert [thing["pending"] for thing in first["things"]] == [True] * 4
    assert [diff is None for diff in first["diff"]] == [False, False, True, True]
    world.end("a")
    second = world.run(waits_of(first), "a", "b", "c", "d")
    assert sorted(world.started) == ["a", "b", "c"]
    assert [thing.get("pending", False) for thing in second["things"]] == [False, True, True, True]


def test_what_rests_on_a_job_waits_for_it(world: World) -> None:
    items = ({"name": "a"}, {"name": "b", "do": "after a"}, {"name": "c"})
    first = world.run({}, *items)
    assert world.started == ["a"]
    assert world.run(waits_of(first), *items)["pending"].keys() == first["pending"].keys()
    world.end("a")
    second = world.run(waits_of(first), *items)
    assert sorted(world.started) == ["a", "b", "c"]
    world.end("b")
    world.end("c")
    last = world.run({**waits_of(first), **waits_of(second)}, *items)
    assert last["changed"] and "failed" not in last
    assert [thing["changed"] for thing in last["things"]] == [True, True, True]


def test_a_job_of_two_items_is_begun_by_the_first_and_told_with_both(world: World) -> None:
    items = ({"name": "a"}, {"name": "a", "do": "again"})
    first = world.run({}, *items)
    for run in (first, world.run(waits_of(first), *items)):
        assert world.started == ["a"] and run["pending"].keys() == {job_id("make", "a")}
        assert [thing["pending"] for thing in run["things"]] == [True, True]
    world.end("a")
    last = world.run(waits_of(first), *items)
    assert world.started == ["a"] and "pending" not in last
    assert [("job" in thing, thing["changed"]) for thing in last["things"]] == [(True, True), (True, False)]


def test_what_rests_on_a_failed_job_fails_too(world: World) -> None:
    items = ({"name": "a"}, {"name": "b", "do": "after a"}, {"name": "c"})
    first = world.run({}, *items)
    world.end("a", "failed", error={"type": "NoSpace", "message": "full."})
    second = world.run(waits_of(first), *items)
    assert second["pending"].keys() == {job_id("make", "c")}
    world.end("c")
    last = world.run({**waits_of(first), **waits_of(second)}, *items)
    assert last["msg"] == "2 of 3 items can't be done: full. a does not exist."


def test_a_job_of_somebody_else_is_waited_for_before_anything_else(world: World) -> None:
    world.work("a")
    world.others.add("a")
    first = world.run({}, "a", "b")
    assert first["pending"][job_id("make", "a")]["as"] == "joined"
    assert world.started == []
    world.end("a")
    last = world.run(waits_of(first), "a", "b")
    assert last["things"][0] == {"name": "a", "joined": True, "changed": True, "steps": [], "x": 1}
    assert world.started == ["b"]


def test_a_job_of_somebody_else_that_died_is_started_again(world: World) -> None:
    world.work("a")
    world.others.add("a")
    first = world.run({}, "a")
    world.others.clear()
    world.end("a", "running")
    second = world.run(waits_of(first), "a")
    assert second["pending"][job_id("make", "a")]["as"] == "changed"
    assert world.started == ["a"]


@pytest.mark.parametrize("status", ["running", "done"])
def test_the_end_of_a_job_that_took_its_place_is_not_taken(world: World, status: str) -> None:
    first = world.run({}, "a")
    if status == "done":
        world.end("a", result={"more": 1})
    last = world.run(waits_of(first, request="what we asked for"), "a")
    assert last["failed"] and "pending" not in last and last["things"][0]["job"] == job_id("make", "a")
    assert f"Another task has the job {job_id('make', 'a')} do something else with a" in last["msg"]


def test_a_time_limit(world: World) -> None:
    first = world.run({}, "a")
    late = world.run(waits_of(first, timeout=5, waited=5.2), "a")
    assert late["failed"] and "has not ended within 5 seconds" in late["msg"]


def test_a_refusal_comes_before_anything_is_started(world: World) -> None:
    result = world.run({}, "a", {"name": "b", "do": "after nothing"})
    assert result["msg"] == "nothing does not exist." and world.started == []


def test_the_end_of_a_job_that_is_planned_again_is_taken_by_its_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Work that is asked for each time (a check) isn't begun again when the task has waited for it."""
    job = launch.Job("make", "a", {}, lambda: "none")
    world.work("a")
    world.end("a", result={"found": 1})
    info: dict[str, Any] = {}
    step = job_step("t", job, Tools(), params={"timeout": 0, "on_interrupt": "detach", "lease_timeout": 60}, info=info)
    for request in ("r", "another"):
        entry = {"as": "changed", "timeout": 0, "waited": 2, "request": request}
        monkeypatch.setenv(attended.ATTENDED_VARIABLE, json.dumps({job.id: entry}))
        if request == "r":
            step.run()
            continue
        with pytest.raises(Conflict, match="Another task has the job"):
            step.run()
    assert (info["job"]["id"], info["job"]["found"], info["job"]["seconds"]) == (job.id, 1, 2.0)


def test_the_step_starts_again_what_died_in_the_hands_of_another_task(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = launch.Job("make", "a", {}, lambda: "none")
    world.work("a")
    world.end("a", "running")
    entry = {"as": "joined", "timeout": 0, "waited": 2, "request": "r"}
    monkeypatch.setenv(attended.ATTENDED_VARIABLE, json.dumps({job.id: entry}))
    started: list[str] = []

    def start(wanted: launch.Job, *args: Any, **kwargs: Any) -> JobState:
        started.append(wanted.id)
        state = JobState(job.id, "make", digest({}), status="done", target="a")
        write_state(state)
        return state

    monkeypatch.setattr(long_work, "start", start)
    info: dict[str, Any] = {}
    params = {"timeout": 0, "on_interrupt": "detach", "lease_timeout": 60}
    job_step("t", job, Tools(), params=params, info=info).run()
    assert started == [job.id] == [info["job"]["id"]]
