# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    EngineError,
    InvalidOption,
    NotFound,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_freeze
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_freeze_together import Together
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan


class Guard:
    """A guard beside a guest that is `frozen`; `fails` names what it can't do."""

    def __init__(self, domain: Any, tools: Tools) -> None:
        self.guest, self.was_first = domain, False
        self.id = f"thaw-{domain.name}"

    def holds(self) -> bool:
        return bool(self.guest.guarded)

    def state(self) -> Any:
        return SimpleNamespace(result=self.guest.result)

    def start(self, *, limit: float, outlives: bool) -> None:
        if self.guest.fails == "start":
            raise EngineError("no guard")
        self.guest.guarded = outlives

    def release(self) -> None:
        self.guest.guarded = False

    def freeze(self, *, limit: float) -> int:
        assert self.guest.guarded
        if self.guest.fails == "freeze":
            raise EngineError("no freeze")
        self.guest.frozen = True
        return 2

    def thaw(self, *, timeout: float) -> int:
        count = 2 * self.guest.frozen
        self.was_first = self.guest.guarded and self.guest.fails != "late"
        self.guest.guarded = self.guest.frozen = False
        return count

    def frozen_for(self) -> float:
        return 1.5


def guest(name: str = "web", *, fails: str = "", frozen: bool = False, guarded: bool = False) -> Any:
    return SimpleNamespace(
        name=name, uuid=name, state="running", fails=fails, frozen=frozen, guarded=guarded, result={}
    )


@pytest.fixture(autouse=True)
def world(monkeypatch: pytest.MonkeyPatch) -> None:
    def freezable(domain: Any) -> None:
        if domain.frozen:
            raise Conflict("frozen already")

    monkeypatch.setattr(vm_freeze, "Guard", Guard)
    monkeypatch.setattr(vm_freeze, "require_freezable", freezable)
    monkeypatch.setattr(vm_freeze.agent, "require_channel", lambda domain: None)
    monkeypatch.setattr(vm_freeze.agent, "is_frozen", lambda domain: domain.frozen)


def tools_for(*guests: Any) -> Tools:
    found = {each.name: each for each in guests}
    return Tools(connect=lambda uri: SimpleNamespace(domain=found.get))  # type: ignore[arg-type,return-value]


def plan(tools: Tools, name: str = "web", *, state: str = "frozen", limit: int = 10) -> Plan:
    params = {"name": name, "state": state, "limit": limit, "uri": "qemu:///system"}
    return vm_freeze.plan_freeze(params, tools)


def apply(*plans: Plan) -> list[Exception | None]:
    """Run the steps side by side; how each ended."""

    def run(plan: Plan) -> Exception | None:
        try:
            for step in [*plan.upkeep, *plan.steps]:
                step.run()
        except (EngineError, Conflict) as error:
            return error
        return None

    with ThreadPoolExecutor(len(plans)) as pool:
        return list(pool.map(run, plans))


def test_freezing_thawing_and_again() -> None:
    web = guest()
    first = plan(tools_for(web))
    assert (first.before["state"], first.after["state"]) == ("thawed", "frozen")
    assert apply(first) == [None]
    told = {"name": "web", "state": "frozen", "guard": "thaw-web", "file_systems": 2}
    assert {**first.observe(), **first.info} == told
    assert not plan(tools_for(web)).steps
    back = plan(tools_for(web), state="thawed")
    assert apply(back) == [None]
    assert back.observe() == {"name": "web", "state": "thawed", "file_systems": 2, "thawed_by": "task", "seconds": 1.5}
    assert not plan(tools_for(web), state="thawed").steps


def test_the_guard_was_first() -> None:
    web = guest()
    web.result = {"reason": "limit", "seconds": 10.1}
    late = plan(tools_for(web), state="thawed")
    assert not late.steps
    assert late.observe() == {"name": "web", "state": "thawed", "thawed_by": "guard", "seconds": 10.1}
    web.frozen, web.guarded, web.fails = True, True, "late"
    assert "was quicker" in str(apply(plan(tools_for(web), state="thawed"))[0])


def test_a_guard_without_a_freeze_is_let_go() -> None:
    web = guest(guarded=True)
    assert apply(plan(tools_for(web), state="thawed")) == [None]
    assert not web.guarded


def test_frozen_by_somebody_else() -> None:
    web = guest(frozen=True)
    with pytest.raises(Conflict, match="frozen already"):
        plan(tools_for(web))
    back = plan(tools_for(web), state="thawed")
    assert apply(back) == [None] and "seconds" not in back.observe()


@pytest.mark.parametrize("fails", ["start", "freeze"])
def test_all_or_none(fails: str) -> None:
    web, db = guest("web"), guest("db", fails=fails)
    tools = tools_for(web, db)
    one, other = apply(plan(tools, "web"), plan(tools, "db"))
    assert isinstance(one, Conflict) and "Another VM of this task" in str(one)
    assert f"no {'guard' if fails == 'start' else 'freeze'}" in str(other)
    assert not any([web.frozen, web.guarded, db.frozen, db.guarded])


def test_several_are_frozen_at_one_moment() -> None:
    guests = [guest(str(number)) for number in range(5)]
    tools = tools_for(*guests)
    assert apply(*[plan(tools, each.name) for each in guests]) == [None] * 5
    assert all(each.frozen for each in guests)


@pytest.mark.parametrize(("first", "second"), [("frozen", "frozen"), ("frozen", "thawed"), ("thawed", "frozen")])
def test_a_vm_is_named_once(first: str, second: str) -> None:
    tools = tools_for(guest())
    plan(tools, state=first)
    with pytest.raises(InvalidOption, match="^vms: web is named twice; name each VM once"):
        plan(tools, state=second)


def test_refusals() -> None:
    with pytest.raises(NotFound, match="no VM called nix"):
        plan(tools_for(), "nix")
    with pytest.raises(InvalidOption, match="limit: 301 seconds"):
        plan(tools_for(guest()), limit=301)
    web = guest()
    web.state = "stopped"
    assert not plan(tools_for(web), state="thawed").steps
    together = Together()
    with pytest.raises(InvalidOption, match="no more than 64"):
        for number in range(65):
            together.expect(str(number))


def test_locks() -> None:
    assert list(vm_freeze.locks({"name": "web"}, Tools())) == ["domain:web"]
