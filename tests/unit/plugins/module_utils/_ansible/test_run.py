# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imageops.fleet.plugins.module_utils import _locks
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.specs import batch_spec
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, NotFound
from ansible_collections.imageops.fleet.plugins.module_utils._operations import operation
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Operation, Tools
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan, Step, Wait
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock
from ansible_collections.imageops.fleet.tests.unit.run_module import result_of

pytestmark = pytest.mark.usefixtures("state_dir")
SPEC = batch_spec("things", {"name": {"type": "str"}, "do": {"type": "str"}}, key="name", defaults={"do": "make"})


@dataclass
class World:
    """An operation on things, and what it was asked to do; `do` says how an item behaves."""

    events: list[str] = field(default_factory=list)
    there: dict[str, str] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    parallel: int = 1

    def operation(self) -> Operation:
        return Operation(
            plan=self.plan,
            result="things",
            locks=lambda item, tools: [item["name"]],
            join=self.join,
            parallel=self.parallel,
            lock_timeout=0.1,
        )

    def join(self, item: dict[str, Any], tools: Tools) -> bool:
        if item["name"] not in self.running:
            return False
        self.running.discard(item["name"])
        self.there[item["name"]] = "joined"
        return True

    def plan(self, item: dict[str, Any], tools: Tools) -> Plan:
        name, do = item["name"], item["do"]
        self.events.append(f"plan {name}")
        if do == "refuse":
            raise Conflict(f"{name}: refused.", path=name)
        if do == "vanish":
            raise FileNotFoundError(2, "No such file or directory", name)
        source = do.partition("after ")[2]
        provisional = source in tools.forecast
        if source and not provisional and source not in self.there:
            raise NotFound(f"{source} does not exist.")
        if name in self.there:
            return self._plan(name, waits=(Wait("w", lambda: {"waited": True}),), upkeep=(self._step(f"keep {name}"),))
        tools.forecast[name] = {}
        return self._plan(
            name, steps=self._steps(name, do), provisional=provisional, warnings=(f"careful with {name}",)
        )

    def _plan(self, name: str, **more: Any) -> Plan:
        before = {"state": self.there[name]} if name in self.there else {}
        return Plan(name, before, {"state": "made"}, lambda: {"state": self.there.get(name)}, **more)

    def _steps(self, name: str, do: str) -> tuple[Step, ...]:
        first = Step(f"make {name}", lambda: self._make(name))
        failing = self._step(f"break {name}", Conflict(f"{name}: broken.", changed="no", things="mine", diff=1))
        return {"break": (failing,), "break late": (first, failing)}.get(do, (first,))

    def _make(self, name: str) -> None:
        self.events.append(f"make {name}")
        self.there[name] = "made"

    def _step(self, title: str, error: Exception | None = None) -> Step:
        def run() -> None:
            self.events.append(title)
            if error:
                raise error

        return Step(title, run)

    def run(self, *items: dict[str, Any] | str, check: bool = False, diff: bool = False) -> dict[str, Any]:
        things = [{"name": item} if isinstance(item, str) else item for item in items]
        return result_of(lambda: run_module(SPEC, self.operation()), {"things": things}, check=check, diff=diff)


def test_a_change_and_then_none() -> None:
    world = World()
    first = world.run("a")
    assert first["changed"]
    assert first["things"] == [{"name": "a", "state": "made", "changed": True, "steps": ["make a"]}]
    assert first["warnings"] == ["careful with a"]
    again = world.run("a")
    assert not again["changed"]
    assert again["things"] == [{"name": "a", "state": "made", "waited": True, "changed": False, "steps": []}]
    assert world.events[-1] == "keep a"


def test_check_mode_tells_and_does_nothing() -> None:
    world = World(there={"b": "made"})
    result = world.run("a", "b", check=True)
    assert result["changed"]
    assert [thing["changed"] for thing in result["things"]] == [True, False]
    assert result["things"][0]["state"] == "made"
    assert world.events == ["plan a", "plan b"]


def test_a_difference_is_text_per_changed_item() -> None:
    result = World(there={"b": "made"}).run("a", "b", diff=True)
    assert result["diff"] == [
        {"before_header": "a", "after_header": "a", "before": "", "after": '{\n  "state": "made"\n}\n'}
    ]


def test_one_refusal_stops_all_before_the_first_step() -> None:
    world = World()
    result = world.run("a", {"name": "b", "do": "refuse"}, "c")
    assert result["failed"] and not result["changed"]
    assert result["msg"] == "b: refused."
    assert result["path"] == "b"
    assert [thing["changed"] for thing in result["things"]] == [False, False, False]
    assert [thing["name"] for thing in result["things"]] == ["a", "b", "c"]
    assert result["things"][1]["failed"] and result["things"][1]["msg"] == "b: refused."
    assert world.there == {}
    assert result["warnings"] == ["careful with a", "careful with c"]


def test_all_refusals_are_told() -> None:
    result = World().run({"name": "a", "do": "refuse"}, {"name": "b", "do": "vanish"}, "c")
    assert result["msg"] == "2 of 3 items can't be done: a: refused. b: No such file or directory."


def test_a_failed_item_keeps_the_results_of_the_others() -> None:
    world = World()
    result = world.run("a", {"name": "b", "do": "break"}, "c")
    assert result["failed"] and result["changed"]
    assert result["msg"] == "b: broken."
    assert [thing["changed"] for thing in result["things"]] == [True, False, True]
    assert [thing.get("state") for thing in result["things"]] == ["made", None, "made"]


def test_details_of_an_error_never_take_the_place_of_results() -> None:
    result = World().run({"name": "b", "do": "break"}, diff=True)
    assert result["changed"] is False
    assert result["things"] == [
        {
            "name": "b",
            "changed": False,
            "steps": ["break b"],
            "things": "mine",
            "diff": 1,
            "failed": True,
            "msg": "b: broken.",
        }
    ]


def test_a_step_that_fails_after_others_is_a_change() -> None:
    assert World().run({"name": "b", "do": "break late"})["changed"] is True


def test_items_may_rest_on_earlier_ones() -> None:
    world = World()
    items = ({"name": "a"}, {"name": "b", "do": "after a"}, {"name": "c", "do": "after b"})
    assert world.run(*items, check=True)["changed"]
    assert world.there == {}
    result = world.run(*items)
    assert not result.get("failed")
    assert list(world.there) == ["a", "b", "c"]
    assert not world.run(*items)["changed"]


def test_what_rests_on_a_failed_item_fails_with_a_sentence() -> None:
    result = World().run({"name": "a", "do": "break"}, {"name": "b", "do": "after a"}, {"name": "c", "do": "after b"})
    assert result["msg"] == ("3 of 3 items can't be done: a: broken. a does not exist. b does not exist.")
    assert not result["changed"]


def test_neighbours_run_side_by_side() -> None:
    world = World(parallel=3)
    together = threading.Barrier(3, timeout=120)
    make: Callable[[str], None] = world._make

    def meet(name: str) -> None:
        together.wait()
        make(name)

    world._make = meet  # type: ignore[method-assign]
    assert [thing["state"] for thing in world.run("a", "b", "c")["things"]] == ["made"] * 3


def test_a_running_job_is_joined() -> None:
    world = World(running={"a"})
    result = world.run("a")
    assert result["changed"]
    assert result["things"][0]["joined"]
    assert "make a" not in world.events


def test_a_busy_lock_is_one_sentence() -> None:
    handle = _locks.try_lock("a")
    result = World().run("a")
    assert result["failed"] and not result["changed"]
    assert result["msg"].startswith("a is being worked on by another task")
    assert handle is not None


def test_who_holds_the_lock_may_start_what_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job is joined as soon as it runs, though the lock stays taken for longer."""
    monkeypatch.setattr(operation, "Clock", FakeClock)
    world = World()
    handle = _locks.try_lock("a")
    looks: list[int] = []
    original = world.join

    def join(item: dict[str, Any], tools: Tools) -> bool:
        looks.append(1)
        if len(looks) == 3:
            world.running.add("a")
        return original(item, tools)

    world.join = join  # type: ignore[method-assign]
    result = world.run("a")
    assert handle is not None
    assert result["failed"]
    assert result["things"][0]["joined"] and result["changed"]


def test_locks_that_cannot_be_made_are_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IMAGEOPS_STATE_DIR", str(tmp_path / "file"))
    assert World().run("a")["msg"] == f"{tmp_path}/file: File exists."


@pytest.mark.parametrize("secret", ["one line", "two\nlines \\ 'quoted'"])
def test_nested_secrets_stay_out_of_the_log(secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[tuple[str, Any]] = []
    monkeypatch.setattr(AnsibleModule, "log", lambda module, msg, log_args=None: logged.append((msg, log_args)))
    nested = {"type": "dict", "options": {"secret": {"type": "raw", "no_log": True}}}
    spec = batch_spec(
        "things", {"name": {"type": "str"}, "do": {"type": "str"}, "more": nested}, key="name", defaults={"do": "make"}
    )
    item = {"name": "a", "more": {"secret": secret}}
    for given in (item, {"things": [item]}):
        result_of(lambda: run_module(spec, World().operation()), given)
    told = repr(logged)
    assert len(logged) >= 2
    assert not any(part in told for part in secret.split("\n"))


@pytest.mark.parametrize("as_list", [False, True])
def test_what_is_hidden_masks_no_names(as_list: bool) -> None:
    """Of an answer file many texts are plain, and a path that has one of them in it stays readable."""
    content = {"kind": {"type": "str"}, "content": {"type": "raw", "no_log": True}}
    options = {"name": {"type": "str"}, "do": {"type": "str"}, "answers": {"type": "dict", "options": content}}
    spec = replace(batch_spec("things", options, key="name", defaults={"do": "make"}), hidden=("answers", "content"))
    item = {"name": "/srv/debian.qcow2", "answers": {"kind": "preseed", "content": {"a": "/debian", "b": "hunter2"}}}
    result = result_of(lambda: run_module(spec, World().operation()), {"things": [item]} if as_list else item)
    assert result["things"][0]["name"] == "/srv/debian.qcow2"
    assert "hunter2" not in str(result) and "'/debian'" not in str(result)


def test_what_a_job_warns_of_is_told() -> None:
    world = World()
    plan = replace(world.plan({"name": "a", "do": ""}, Tools()), info={"job": {"warnings": ["the job saw it"]}})
    operation = replace(world.operation(), plan=lambda item, tools: plan)
    result = result_of(lambda: run_module(SPEC, operation), {"things": [{"name": "a"}]})
    assert result["warnings"][-1] == "the job saw it"


def test_bases_are_kept_until_all_is_made() -> None:
    seen = []

    def replaceable() -> dict[str, Any]:
        handle = _locks.try_lock("base:/base")
        seen.append(handle is not None)
        if handle is not None:
            os.close(handle)
        return {}

    def plan(item: dict[str, Any], tools: Tools) -> Plan:
        tools.bases.keep("/base")
        return Plan("a", {}, {}, dict, steps=(Step("make a", replaceable),), waits=(Wait("w", replaceable),))

    result_of(lambda: run_module(SPEC, Operation(plan=plan, result="things")), {"things": [{"name": "a"}]})
    assert seen == [False, True]
