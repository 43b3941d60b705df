# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of VMs: present, absent, reverted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Callable

from .._errors import InvalidOption
from .._hypervisor.connection import Connection, require_local
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import revert_is_suspect
from .._plan import Plan, Step
from . import vm_snapshot_acts as acts
from . import vm_snapshot_checks as checks
from .operation import Operation, Tools
from .vm_request_checks import require_xml_text
from .vm_snapshot_definition import differences
from .vm_snapshot_point import at_point
from .vm_snapshot_world import World, find_domain, foresee, foretell, look


def plan_snapshot(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan one snapshot; raises what `vm_snapshot_checks` refuses."""
    require_local(params["uri"])
    if not params["vm"]:
        raise InvalidOption(f"vm: nothing is given for the snapshot {params['name']}; give the name of the VM.")
    domain = find_domain(params["vm"], uri=params["uri"], option="vm", tools=tools)
    world, provisional = foresee(look(domain), params, tools)
    asked = _Asked(params, domain, tools.hypervisor(params["uri"]), provisional)
    plan = _PLANNERS[params["state"]](asked, world, lambda after: foretell(after, params, tools))
    return replace(plan, provisional=provisional)


class _Asked:
    """One item with what it is about; `foreseen` when an earlier item of the list comes first."""

    def __init__(self, params: dict[str, Any], domain: Domain, connection: Connection, foreseen: bool) -> None:
        self.params = params
        self.name: str = params["name"]
        self.domain = domain
        self.connection = connection
        self.foreseen = foreseen

    def plan(self, before: World, after: World, *, steps: Iterable[Step] = (), **more: Any) -> Plan:
        """The plan that leads from one world to the other."""
        return Plan(
            item=f"{before.vm}@{self.name}",
            before=before.facts(self.name),
            after=after.facts(self.name),
            observe=lambda: look(self.domain).facts(self.name),
            steps=tuple(steps),
            **more,
        )


def _plan_present(asked: _Asked, world: World, tell: Callable[[World], None]) -> Plan:
    checks.require_name(asked.name)
    if world.snapshot(asked.name):
        return asked.plan(world, world)
    require_xml_text(asked.params["description"] or "", option="description")
    checks.require_internal(world)
    root = asked.domain.xml(inactive=not asked.domain.active)
    disks = checks.require_possible(asked.domain, root)
    memory = checks.wants_memory(asked.params, world.state)
    paths = [disk.path for disk in disks]
    checks.require_unknown(paths, asked.name)
    if memory:
        checks.require_room(disks, root, vm=world.vm)
    elif not asked.foreseen:
        checks.require_free(paths, vm=world.vm)
    after = world.with_new(asked.name, description=asked.params["description"] or "", memory=memory)
    tell(after)
    targets = [disk.target for disk in disks]
    kind = "with memory " if memory else ""
    title = f"take the snapshot {asked.name} of {world.vm} {kind}".strip()
    step = Step(title, lambda: acts.take(asked.domain, asked.params, targets=targets, memory=memory))
    return asked.plan(world, after, steps=[step])


def _plan_absent(asked: _Asked, world: World, tell: Callable[[World], None]) -> Plan:
    if world.snapshot(asked.name) is None:
        return asked.plan(world, world)
    checks.require_internal(world)
    checks.require_no_number(asked.name)
    children = bool(asked.params["remove_children"])
    after = world.without(asked.name, children=children)
    tell(after)
    below = world.descendants(asked.name) if children else ()
    title = f"delete the snapshot {asked.name} of {world.vm}" + (
        f" and those below it: {', '.join(below)}" if below else ""
    )
    step = Step(title, lambda: acts.delete(asked.domain, asked.params))
    return asked.plan(world, after, steps=[step])


def _plan_reverted(asked: _Asked, world: World, tell: Callable[[World], None]) -> Plan:
    found = checks.require_snapshot(world, asked.name)
    checks.require_internal(world)
    checks.require_no_number(asked.name)
    start = bool(asked.params["start"])
    after = world.at(asked.name, start=start)
    tell(after)
    if found.definition is None:
        # Only foreseen: the plan is made again once it is there.
        return asked.plan(world, after, steps=[_revert_step(asked)])
    checks.require_held(found)
    if not asked.foreseen and not asked.domain.active:
        checks.require_free(list(found.disks), vm=world.vm)
    if not asked.foreseen and after.state == "stopped" and at_point(asked.domain, asked.name):
        return asked.plan(world, after)
    changed = differences(asked.domain.xml(), found.definition)
    info = {"definition_changes": changed} if changed else {}
    return asked.plan(world, after, steps=[_revert_step(asked)], warnings=tuple(_warnings(asked, changed)), info=info)


def _revert_step(asked: _Asked) -> Step:
    title = f"revert {asked.params['vm']} to the snapshot {asked.name}"
    return Step(title, lambda: acts.revert(asked.connection, asked.domain, asked.params))


def _warnings(asked: _Asked, changed: list[str]) -> Iterable[str]:
    vm = asked.params["vm"]
    if changed:
        yield (
            f"The definition of {vm} was changed since the snapshot {asked.name} was taken ({', '.join(changed)}); "
            "reverting brings "
            f"back the definition of that time."
        )
    if revert_is_suspect(asked.connection.version):
        number = ".".join(map(str, asked.connection.version))
        yield (
            f"libvirt {number} as published upstream can't revert internal snapshots (fixed in 11.4, and by some "
            "distributions "
            f"earlier, such as Debian); it is tried, and a failure leaves the VM defined."
        )


_PLANNERS: dict[str, Callable[[_Asked, World, Callable[[World], None]], Plan]] = {
    "present": _plan_present,
    "absent": _plan_absent,
    "reverted": _plan_reverted,
}


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """Two tasks never work on one VM at once."""
    return [f"domain:{params['vm']}"]


OPERATION = Operation(plan=plan_snapshot, result="snapshots", locks=locks, parallel=4)
