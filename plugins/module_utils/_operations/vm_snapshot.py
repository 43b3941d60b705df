# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of VMs: present, absent, reverted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Callable

from .._errors import InvalidOption
from .._hypervisor.connection import require_local
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot, snapshots
from .._hypervisor.snapshots_external import settle
from .._plan import KNOWN_AFTER, Plan, Step
from . import vm_snapshot_acts as acts
from . import vm_snapshot_checks as checks
from .operation import Operation, Tools
from .qmp_request import asks_for_process, process_locks
from .vm_request_checks import require_xml_text
from .vm_snapshot_changeover import require_listed
from .vm_snapshot_definition import differences
from .vm_snapshot_delete import delete_external, merges_after
from .vm_snapshot_expand import every_snapshot
from .vm_snapshot_facts import facts_of, wish_of
from .vm_snapshot_inside import doomed, left_behind
from .vm_snapshot_journal import read_journal
from .vm_snapshot_kind import EXTERNAL, INTERNAL, Choice, choose
from .vm_snapshot_merge import require_no_job, tidy_layers
from .vm_snapshot_point import at_point
from .vm_snapshot_revert import require_files
from .vm_snapshot_stray import adopt, strays_of
from .vm_snapshot_tree import writable_disks
from .vm_snapshot_warnings import warnings_of
from .vm_snapshot_world import World, find_domain, foresee, foretell, look


def plan_snapshot(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan one snapshot; raises what `vm_snapshot_checks` refuses."""
    if asks_for_process(params):
        from .qmp_snapshot import plan_process_snapshot

        return plan_process_snapshot(params, tools)
    require_local(params["uri"])
    if not params["vm"]:
        raise InvalidOption(f"vm: nothing is given for the snapshot {params['name']}; give the name of the VM.")
    domain = find_domain(params["vm"], uri=params["uri"], option="vm", tools=tools)
    journal = read_journal(domain)
    if journal.taking or journal.inside:
        # libvirt lists a snapshot that it is still taking for a module that is gone, and goes on with other acts too.
        settle(domain)
    found = look(domain)
    for name in doomed(domain):
        found = found.without(name, children=False)
    world, provisional = foresee(found, params, tools)
    asked = _Asked(params, domain, tools, provisional)
    plan = _PLANNERS[params["state"]](asked, world, lambda after: foretell(after, params, tools))
    if plan.changed and not foresee(world, params, tools)[1]:
        # What an interrupted run left is put right by one item, before the others look.
        foretell(world, params, tools)
    return replace(plan, provisional=provisional)


class _Asked:
    """One item with what it is about; `foreseen` when an earlier item of the list comes first."""

    def __init__(self, params: dict[str, Any], domain: Domain, tools: Tools, foreseen: bool) -> None:
        self.params = params
        self.name: str = params["name"]
        self.domain = domain
        self.tools = tools
        self.connection = tools.hypervisor(params["uri"])
        self.foreseen = foreseen
        self.journal = read_journal(domain)

    def plan(
        self,
        before: World,
        after: World,
        *,
        steps: Iterable[Step] = (),
        timed: bool = False,
        warnings: Iterable[str] = (),
        **more: Any,
    ) -> Plan:
        """The plan that leads from one world to the other; of a step that is `timed` the result tells the seconds."""
        seconds = {"engine_seconds": KNOWN_AFTER} if timed else {}
        return Plan(
            item=f"{before.vm}@{self.name}",
            before=before.facts(self.name),
            after=after.facts(self.name),
            # As a run looks again when all items are done, check mode tells what the last one leaves.
            foretell=lambda: {**foresee(after, self.params, self.tools)[0].facts(self.name), **seconds},
            observe=lambda: look(self.domain).facts(self.name),
            steps=(*self._recovery(), *steps),
            warnings=(*(() if self.foreseen else left_behind(self.domain)), *warnings),
            **more,
        )

    def _recovery(self) -> Iterable[Step]:
        """What an interrupted run left is finished or undone first."""
        if self.journal.open and not self.foreseen:
            reverts = self.params["state"] == "reverted"
            run = partial(
                acts.recover,
                self.domain,
                self.connection,
                self.tools,
                timeout=self.params["timeout"],
                reverts=reverts,
            )
            yield Step("; ".join(self.journal.open), run)


def _plan_present(asked: _Asked, world: World, tell: Callable[[World], None]) -> Plan:
    checks.require_name(asked.name)
    if world.snapshot(asked.name):
        return asked.plan(world, world)
    require_xml_text(asked.params["description"] or "", option="description")
    if asked.params["adopt"]:
        return _plan_adopt(asked, world, tell)
    choice = choose(facts_of(asked.domain, asked.connection, world), wish_of(asked.params))
    disks = writable_disks(asked.domain)
    paths = [disk.path for disk in disks]
    if choice.kind == INTERNAL:
        if asked.name not in asked.journal.leftovers:
            checks.require_unknown(paths, asked.name)
    else:
        _require_changeable(asked)
    if choice.quiesce:
        _require_freezable(asked)
    if choice.memory:
        checks.require_room(disks, asked.domain.xml(inactive=not asked.domain.active), vm=world.vm)
    elif not asked.foreseen and not asked.domain.active:
        checks.require_free(paths, vm=world.vm)
    description = asked.params["description"] or ""
    after = world.with_new(asked.name, description=description, kind=choice.kind, memory=choice.memory)
    tell(after)
    info: dict[str, Any] = {"reason": choice.reason}
    return asked.plan(world, after, steps=[_take_step(asked, choice, info)], timed=True, info=info)


def _plan_adopt(asked: _Asked, world: World, tell: Callable[[World], None]) -> Plan:
    """Stray overlays become a snapshot's; without any nothing is to be done."""
    checks.require_no_internal(world)
    strays = strays_of(asked.domain, snapshots(asked.domain), asked.journal.own)
    if not strays:
        return asked.plan(world, world)
    _require_changeable(asked)
    after = world.with_new(asked.name, description=asked.params["description"] or "", kind=EXTERNAL, memory=False)
    after = replace(after, state=world.state)
    tell(after)
    overlays = [path for stray in strays for path in stray.overlays]
    title = f"adopt the stray overlays {', '.join(overlays)} as the snapshot {asked.name} of {world.vm}"
    return asked.plan(world, after, steps=[Step(title, partial(adopt, asked.domain, asked.params, asked.tools))])


def _require_changeable(asked: _Asked) -> None:
    """Raise InUse or Conflict while the layers of the VM can't be changed."""
    require_no_job(asked.domain, asked.journal)
    if not asked.journal.open:
        require_listed(asked.domain, asked.journal)


def _require_freezable(asked: _Asked) -> None:
    from .._hypervisor.agent import require_channel
    from .thaw_guard import require_limit

    require_limit(asked.params["quiesce_timeout"], option="quiesce_timeout")
    require_channel(asked.domain)


def _take_step(asked: _Asked, choice: Choice, info: dict[str, Any]) -> Step:
    ways = [*(["with memory"] if choice.memory else []), *(["with frozen file systems"] if choice.quiesce else [])]
    what = "the snapshot" if choice.kind == INTERNAL else "the external snapshot"
    title = " ".join([f"take {what} {asked.name} of {asked.domain.name}", *ways])
    if choice.kind == INTERNAL:
        targets = [disk.target for disk in writable_disks(asked.domain)]
        take = partial(acts.take, asked.domain, asked.params, targets=targets, memory=choice.memory)
    else:
        take = partial(acts.take_outside, asked.domain, asked.connection, asked.params, choice, asked.tools)
    return Step(title, lambda: info.update(take()))


def _plan_absent(asked: _Asked, world: World, tell: Callable[[World], None]) -> Plan:
    found = world.snapshot(asked.name)
    if found is None:
        return asked.plan(world, world, steps=_left_overs(asked))
    checks.require_unmixed(world)
    children = bool(asked.params["remove_children"])
    below = world.descendants(asked.name) if children else ()
    names = [asked.name, *below]
    after = world.without(asked.name, children=children)
    tell(after)
    title = f"delete the snapshot {asked.name} of {world.vm}" + (
        f" and those below it: {', '.join(below)}" if below else ""
    )
    if found.kind == INTERNAL:
        checks.require_no_number(asked.name)
        run = partial(acts.delete, asked.domain, asked.params, names)
        return asked.plan(world, after, steps=[Step(title, run)])
    _require_changeable(asked)
    moves = merges_after(asked.domain, names, asked.tools) if found.definition is not None else []
    run = partial(delete_external, asked.domain, asked.connection, asked.params, names, asked.tools)
    return asked.plan(world, after, steps=[Step(title, run)], info={"layers": moves})


def _left_overs(asked: _Asked) -> list[Step]:
    """Layers that an interrupted deletion left; there are none without a journal."""
    if asked.foreseen or asked.journal.open or not asked.journal.own:
        return []
    moves = merges_after(asked.domain, [], asked.tools)
    run = partial(tidy_layers, asked.domain, asked.connection, asked.tools, timeout=asked.params["timeout"])
    return [Step("; ".join(moves), run)] if moves else []


def _plan_reverted(asked: _Asked, world: World, tell: Callable[[World], None]) -> Plan:
    found = checks.require_snapshot(world, asked.name)
    checks.require_unmixed(world)
    start = bool(asked.params["start"])
    after = world.at(asked.name, start=start)
    tell(after)
    if found.definition is None:
        # Only foreseen: the plan is made again once it is there.
        return asked.plan(world, after, steps=[_revert_step(asked, found)])
    if found.kind == INTERNAL:
        checks.require_no_number(asked.name)
        checks.require_held(found)
    elif not asked.foreseen:
        require_no_job(asked.domain, asked.journal)
        require_files(found, asked.journal.beside.get(asked.name, {}))
    if not asked.foreseen and not asked.domain.active:
        checks.require_free(list(found.disks) or [disk.path for disk in writable_disks(asked.domain)], vm=world.vm)
    if not asked.foreseen and after.state == "stopped" and at_point(asked.domain, asked.name):
        return asked.plan(world, after)
    changed = differences(asked.domain.xml(), found.definition, moved=found.layers)
    info = {"definition_changes": changed} if changed else {}
    steps = [_revert_step(asked, found)]
    return asked.plan(world, after, steps=steps, warnings=warnings_of(asked, found, changed), info=info)


def _revert_step(asked: _Asked, found: Snapshot) -> Step:
    title = f"revert {asked.params['vm']} to the snapshot {asked.name}"
    if found.kind == INTERNAL:
        return Step(title, lambda: acts.revert(asked.connection, asked.domain, asked.params))
    return Step(title, lambda: acts.revert_outside(asked.connection, asked.domain, asked.params, asked.tools))


_PLANNERS: dict[str, Callable[[_Asked, World, Callable[[World], None]], Plan]] = {
    "present": _plan_present,
    "absent": _plan_absent,
    "reverted": _plan_reverted,
}


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """Two tasks never work on one VM at once."""
    return process_locks(params) if asks_for_process(params) else [f"domain:{params['vm']}"]


OPERATION = Operation(plan=plan_snapshot, result="snapshots", locks=locks, expand=every_snapshot, parallel=4)
