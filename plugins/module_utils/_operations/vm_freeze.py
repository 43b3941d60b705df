# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests frozen, by a task that ends while they are: a guard on the host thaws them at the limit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._errors import Conflict, InvalidOption, NotFound
from .._faults import fault_point
from .._hypervisor import agent
from .._hypervisor.connection import require_local
from .._hypervisor.domain import Domain
from .._plan import Plan, Step
from .operation import Operation, Tools
from .thaw_guard import Guard, require_freezable, require_limit
from .vm_freeze_together import MOST, Together

FROZEN, THAWED = "frozen", "thawed"


def plan_freeze(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan for one VM; raises NotFound, Unsupported without an agent's channel, Conflict."""
    require_local(params["uri"])
    require_limit(params["limit"], option="limit")
    domain = tools.hypervisor(params["uri"]).domain(params["name"])
    if domain is None:
        raise NotFound(f"name: there is no VM called {params['name']} on this host.")
    _require_once(domain, params, tools)
    freezing = _Freezing(domain, params, tools)
    return freezing.plan_frozen() if params["state"] == FROZEN else freezing.plan_thawed()


def _require_once(domain: Domain, params: dict[str, Any], tools: Tools) -> None:
    """Raise InvalidOption when the list names the VM twice: it has one guard."""
    if tools.has_twice(f"freeze:{domain.uuid}", params):
        raise InvalidOption(f"vms: {domain.name} is named twice; name each VM once.")


class _Freezing:
    def __init__(self, domain: Domain, params: dict[str, Any], tools: Tools) -> None:
        self._domain = domain
        self._limit = float(params["limit"])
        self._guard = Guard(domain, tools)
        self._together = Together.of(tools)
        self._info: dict[str, Any] = {}
        # Asked once: a slow guest may not answer again in time.
        self._state = self._found()

    def _found(self) -> str:
        if self._domain.state != "running":
            return THAWED
        agent.require_channel(self._domain)
        return FROZEN if agent.is_frozen(self._domain) else THAWED

    def _plan(self, before: str, after: str, *steps: Step, upkeep: tuple[Step, ...] = ()) -> Plan:
        name = self._domain.name
        return Plan(
            item=name,
            before={"name": name, "state": before},
            after={"name": name, "state": after},
            observe=self._observe,
            steps=steps,
            upkeep=upkeep,
            info=self._info,
        )

    def _observe(self) -> dict[str, Any]:
        found = {"name": self._domain.name, "state": self._state}
        state = self._guard.state()
        if self._state == THAWED and state is not None and state.result.get("reason", "released") != "released":
            # It was not this task that ended the last freeze.
            return {**found, "thawed_by": "guard", "seconds": state.result["seconds"], **self._info}
        return {**found, **self._info}

    def plan_frozen(self) -> Plan:
        if self._guard.holds() and self._state == FROZEN:
            self._info["guard"] = self._guard.id
            return self._plan(FROZEN, FROZEN)
        require_freezable(self._domain)
        name = self._domain.name
        self._together.expect(name)
        return self._plan(
            THAWED,
            FROZEN,
            Step(f"freeze the file systems of {name} for {self._limit:g} seconds at most", self._freeze),
        )

    def _freeze(self) -> None:
        self._together.stage(lambda: self._guard.start(limit=self._limit, outlives=True), undo=self._guard.release)
        self._info["guard"] = self._guard.id
        fault_point("thaw:all-guarded")

        def act() -> None:
            self._info["file_systems"] = self._guard.freeze(limit=self._limit)

        self._together.stage(act, undo=self._undo)
        self._state = FROZEN
        fault_point("thaw:all-frozen")

    def _undo(self) -> None:
        self._info.clear()
        self._guard.thaw(timeout=self._limit)

    def plan_thawed(self) -> Plan:
        if self._state == THAWED:
            idle = Step(f"let the guard of {self._domain.name} go", self._guard.release)
            return self._plan(THAWED, THAWED, upkeep=(idle,) if self._guard.holds() else ())
        return self._plan(FROZEN, THAWED, Step(f"thaw the file systems of {self._domain.name}", self._thaw))

    def _thaw(self) -> None:
        held = self._guard.holds()
        count = self._guard.thaw(timeout=self._limit)
        self._state = THAWED
        if held and not self._guard.was_first:
            raise Conflict(
                f"The guard of {self._domain.name} was quicker: its file systems were thawed since the time limit had passed."
            )
        self._info.update({"file_systems": count, "thawed_by": "task"})
        if held:
            self._info["seconds"] = self._guard.frozen_for()


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """Two tasks never work on one VM at once."""
    return [f"domain:{params['name']}"]


OPERATION = Operation(plan=plan_freeze, result="vms", locks=locks, parallel=MOST)
