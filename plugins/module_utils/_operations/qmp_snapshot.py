# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of QEMU processes: present, absent, reverted."""

from __future__ import annotations

import os
from functools import partial
from typing import Any, Callable

from .._errors import Conflict, NotFound, Unsupported
from .._files import require_space
from .._hypervisor import qmp_points as points
from .._hypervisor.capabilities import QMP, require
from .._hypervisor.qmp_disks import QmpDisk
from .._hypervisor.qmp_overlays import is_merging, merge_overlay, put_overlays
from .._hypervisor.qmp_process import QemuProcess
from .._plan import KNOWN_AFTER, Plan, Step
from .operation import Tools
from .qmp_request import process_of, refuse_options
from .qmp_world import EXTERNAL, INTERNAL, World, look
from .usage import ENGINE, refuse, users_of
from .vm_snapshot_checks import require_name

# For timeout: 0, which waits as long as it takes.
_EVER = 365 * 86400.0


def plan_process_snapshot(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan one snapshot; raises Unsupported for what only libvirt can do."""
    refuse_options(params, "quiesce", ("quiesce",))
    refuse_options(params, "describe", ("description",))
    refuse_options(params, "tree", ("remove_children", "adopt", "start"))
    refuse_options(params, "retain", ("keep", "older_than"))
    require_name(params["name"])
    process = process_of(params, tools, name=params["vm"], option="vm")
    world = look(process)
    if not world.disks:
        raise Conflict(f"vm: the process at {process.path} has no disk that it writes to, so there is nothing to hold.")
    return _PLANNERS[params["state"]](_Asked(params, process, tools), world)


class _Asked:
    """One item with what it is about."""

    def __init__(self, params: dict[str, Any], process: QemuProcess, tools: Tools) -> None:
        self.params = params
        self.name: str = params["name"]
        self.process = process
        self.tools = tools
        self.timeout = float(params["timeout"]) or _EVER

    def plan(self, before: World, after: dict[str, Any], *steps: Step, timed: bool = False, **more: Any) -> Plan:
        """The plan that makes the facts of the snapshot `after`; of a step that is `timed` the result tells the seconds."""
        facts = before.facts(self.name)
        told = {**facts, **after}
        return Plan(
            item=f"{before.vm}@{self.name}",
            before=facts,
            after=told,
            foretell=(lambda: {**told, "engine_seconds": KNOWN_AFTER}) if timed else None,
            observe=lambda: look(self.process).facts(self.name),
            steps=steps,
            **more,
        )


def _plan_present(asked: _Asked, world: World) -> Plan:
    if asked.name in world.internal() or asked.name in world.external():
        return asked.plan(world, {})
    kind, reason = _choose(asked.params, world)
    after = {"state": "present", "kind": kind, "memory": kind == INTERNAL}
    info: dict[str, Any] = {"reason": reason}
    if kind == INTERNAL:
        memory = asked.process.hardware()["memory_now"]
        require_space(world.disks[0].path, memory, what=f"The memory of {world.vm}, kept in its first disk,")
        save = partial(points.save, asked.process, asked.name, world.disks, timeout=asked.timeout)
        step = _taking(f"take the snapshot {asked.name} of {world.vm} with memory", save, info)
        return asked.plan(world, {**after, "created": KNOWN_AFTER}, step, timed=True, info=info)
    overlays = {world.overlay(disk, asked.name): disk for disk in world.disks}
    put = partial(put_overlays, asked.process, overlays, timeout=asked.timeout)
    step = _taking(f"take the external snapshot {asked.name} of {world.vm}", put, info)
    return asked.plan(world, after, step, timed=True, info=info, warnings=(_new_layers(world, overlays),))


def _taking(title: str, act: Callable[[], float], info: dict[str, Any]) -> Step:
    """The step that takes it, and tells the seconds that QEMU's own act took."""

    def run() -> None:
        info["engine_seconds"] = round(act(), 3)

    return Step(title, run)


def _choose(params: dict[str, Any], world: World) -> tuple[str, str]:
    """The kind, and why; raises Unsupported for one that can't hold the process."""
    kind, memory = params["kind"], params["memory"]
    other = [disk for disk in world.disks if disk.format != "qcow2"]
    outside = memory is False or other or world.external()
    if kind == "auto":
        kind = EXTERNAL if outside else INTERNAL
    if kind == INTERNAL:
        _require_internal(memory, other, world)
        return kind, "all disks are qcow2 and hold the memory too"
    if memory:
        require(QMP, "external_memory", option="memory")
    if world.internal():
        raise Unsupported(
            f"vm: {world.vm} has internal snapshots ({', '.join(world.internal())}), which an overlay would hide; delete them, or "
            f"use kind: internal."
        )
    for disk in world.disks:
        _require_file(disk)
    return kind, _why_external(memory, other, world)


def _why_external(memory: bool | None, other: list[QmpDisk], world: World) -> str:
    if other:
        return f"{other[0].target} is {other[0].format}, which holds no snapshot"
    if memory is False:
        return "an internal snapshot holds the memory too"
    return f"{world.vm} has external snapshots" if world.external() else "as asked"


def _require_internal(memory: bool | None, other: list[QmpDisk], world: World) -> None:
    if memory is False:
        require(QMP, "disk_only", option="memory: false")
    if other:
        raise Unsupported(
            f"kind: the disk {other[0].target} of {world.vm} is {other[0].format}, and only qcow2 holds internal snapshots; use "
            f"kind: external."
        )
    if world.external():
        raise Unsupported(
            f"kind: {world.vm} has external snapshots ({', '.join(world.external())}), and one VM has snapshots of one kind only; "
            f"delete them, or use kind: external."
        )


def _require_file(disk: QmpDisk) -> None:
    if not (os.path.isabs(disk.path) and os.path.isfile(disk.path)):
        raise Unsupported(
            f"vm: the disk {disk.target} is '{disk.path}', which isn't the absolute path of a file here; start QEMU with one."
        )


def _new_layers(world: World, overlays: dict[str, QmpDisk]) -> str:
    places = ", ".join(f"{disk.target}: {path}" for path, disk in overlays.items())
    return f"The process of {world.vm} will write to new layers ({places}); when it is started again, these must be its disks."


def _plan_absent(asked: _Asked, world: World) -> Plan:
    after = {"state": "absent"}
    held = world.internal().get(asked.name)
    if held:
        step = Step(
            f"delete the snapshot {asked.name} of {world.vm}",
            lambda: points.delete(asked.process, asked.name, held, timeout=asked.timeout),
        )
        return asked.plan(world, after, step)
    layers = world.external().get(asked.name, []) + _half_merged(asked, world)
    for disk, path in layers:
        _require_no_others(disk, path, asked.tools)
    steps = [Step(f"merge {path} into the layer below", _merging(asked, disk.target, path)) for disk, path in layers]
    return asked.plan(world, after, *steps)


def _half_merged(asked: _Asked, world: World) -> list[tuple[QmpDisk, str]]:
    """Overlays that QEMU has merged for a run that was killed before it removed them."""
    found = [(disk, world.overlay(disk, asked.name)) for disk in world.disks]
    known = [path for _disk, path in world.external().get(asked.name, [])]
    return [(disk, path) for disk, path in found if path not in known and is_merging(asked.process, path)]


def _require_no_others(disk: QmpDisk, path: str, tools: Tools) -> None:
    """Raise InUse when anything but this chain rests on the overlay or on the layer that it is merged into."""
    places = [layer.path for layer in disk.layers]
    if path not in places:
        return
    for touched in (path, places[places.index(path) + 1]):
        # That the process itself has its files open is no surprise.
        refuse(touched, [user for user in users_of(touched, tools, gone=places) if user.kind != ENGINE])


def _merging(asked: _Asked, target: str, path: str) -> Callable[[], None]:
    def merge() -> None:
        # Another merge of this item may have changed the chain.
        disk = next(disk for disk in look(asked.process).disks if disk.target == target)
        merge_overlay(asked.process, path, disk, timeout=asked.timeout)

    return merge


def _plan_reverted(asked: _Asked, world: World) -> Plan:
    if asked.name in world.external():
        require(QMP, "external_revert", option="state: reverted")
    held = world.internal().get(asked.name, [])
    if not held:
        there = ", ".join(world.internal()) or "none"
        raise NotFound(f"name: {world.vm} has no internal snapshot '{asked.name}'; it has: {there}.")
    lacking = [disk.target for disk in world.disks if disk not in held]
    if lacking:
        raise Conflict(
            f"name: {', '.join(lacking)} of {world.vm} does not hold the snapshot '{asked.name}', so a revert would bring back "
            f"only a part of the VM."
        )
    step = Step(
        f"revert {world.vm} to the snapshot {asked.name}",
        lambda: points.load(asked.process, asked.name, world.disks, timeout=asked.timeout),
    )
    return asked.plan(world, {}, step)


_PLANNERS: dict[str, Callable[[_Asked, World], Plan]] = {
    "present": _plan_present,
    "absent": _plan_absent,
    "reverted": _plan_reverted,
}
