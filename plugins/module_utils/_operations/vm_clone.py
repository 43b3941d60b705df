# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones of VMs, stopped or running: full or linked, each with an identity of its own."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .._errors import Conflict, InvalidOption
from .._files import require_folder
from .._hypervisor.connection import Connection, require_local
from .._hypervisor.domain import Domain
from .._hypervisor.xml import get
from .._plan import KNOWN_AFTER, Plan, Step
from .._qemu.guestfs_identity import require_host_name
from .guest_identity_edit import require_editor
from .long_work import check_timeout
from .operation import Operation, Tools
from .qmp_clone import as_source, plan_process_clone
from .qmp_request import asks_for_process, process_locks
from .usage import domains_using
from .vm_clone_choice import COPY, LINK
from .vm_clone_copy import CloneDisk
from .vm_clone_disks import Share, becomes_base, full_copy, linked_copy, missing, plan_share, require_room
from .vm_clone_facts import found_facts, nvram_of, require_own_clone
from .vm_clone_group import disk_steps, job_of, join_running
from .vm_clone_identity import Identity, interfaces, new_mac, own_path
from .vm_clone_macs import clone_macs, kept_macs
from .vm_clone_seed import clone_seed, fixed_host_name
from .vm_clone_source import Source, SourceDisk, read_source
from .vm_clone_steps import CloneSteps
from .vm_clone_still import require_holdable
from .vm_clone_turn import claim_turn
from .vm_request import WaitRequest, check_name, read_wait
from .vm_request_checks import named_twice
from .vm_wait import plan_waits


@dataclass(frozen=True)
class _Awaited:
    """The clone to wait for."""

    name: str
    uri: str
    wait_for: WaitRequest | None


def plan_clone(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan one clone; raises what speaks against it."""
    if asks_for_process(params):
        return plan_process_clone(params, tools)
    require_local(params["uri"])
    check_name(params["name"])
    check_timeout(params)
    _require_source(params)
    if named_twice("clone", params, tools):
        raise InvalidOption(f"name: {params['name']} is in the list twice; give each clone a name of its own.")
    if names_image(params):
        from .vm_clone_image import plan_image_clone

        return plan_image_clone(params, _awaited(params), tools)
    connection = tools.hypervisor(params["uri"])
    there = connection.domain(params["name"])
    if there is not None:
        return _plan_existing(params, there, connection, tools)
    return _plan_new(params, connection, tools)


def _require_source(params: dict[str, Any]) -> None:
    if not params["source"]:
        raise InvalidOption(f"source: nothing is given to clone {params['name']} from; give the name of a VM.")
    if params["source"] == params["name"]:
        raise InvalidOption(f"name: {params['name']} is the source itself; give another name.")


def _awaited(params: dict[str, Any]) -> _Awaited:
    return _Awaited(params["name"], params["uri"], read_wait(params["wait_for"], params["state"]))


def _plan_existing(params: dict[str, Any], domain: Domain, connection: Connection, tools: Tools) -> Plan:
    """A clone that is there is never made again; it is started when that is asked."""
    source = connection.domain(params["source"])
    require_own_clone(domain, source=params["source"], source_uuid=source.uuid if source else "", mode=params["mode"])
    before = found_facts(domain)
    starts = params["state"] == "running" and not domain.active
    if starts:
        claim_turn(domain, tools, starts=True)
    steps = (Step(f"start {domain.name}", domain.start),) if starts else ()
    after = {**before, "state": "running"} if starts else before
    waits = plan_waits(_awaited(params), domain.xml(), connection, tools.clock)
    kept = kept_macs(params, before["macs"])
    return Plan(params["name"], before, after, lambda: found_facts(domain), steps=steps, waits=waits, warnings=kept)


def _plan_new(params: dict[str, Any], connection: Connection, tools: Tools) -> Plan:
    name, source = params["name"], read_source(params, connection, tools)
    if params["quiesce"] and not params["snapshot"]:
        require_holdable(source.domain, limit=params["quiesce_timeout"])
    if params["directory"]:
        require_folder(os.path.join(params["directory"], name), option="directory")
    claim_turn(source.domain, tools, starts=False)
    foreseen = _foreseen(params, source, tools)
    shares = _plan_shares(params, source, foreseen, tools)
    disks = _plan_disks(params, source)
    lacking = missing(disks, tools)
    require_room(lacking, vm=name, tools=tools)
    macs = clone_macs(params, source, connection, tools)
    steps = _steps(params, source, disks, macs, connection, tools)
    told = [{"target": share.target, "base": share.base.path, "overlay": share.path} for share in shares]
    info: dict[str, Any] = {"shared": told}
    making = disk_steps(params, source.domain.uuid, lacking, tools, info)
    return Plan(
        item=name,
        before={},
        after=_after(params, disks, macs, steps.identity.seed[1]),
        observe=lambda: found_facts(_defined(connection, name)),
        steps=tuple(steps.all(shares=shares, disks=making, start=params["state"] == "running")),
        waits=plan_waits(_awaited(params), steps.description, connection, tools.clock),
        warnings=tuple(_warnings(source, steps)),
        info=info,
        provisional=foreseen,
    )


def _defined(connection: Connection, name: str) -> Domain:
    domain = connection.domain(name)
    if domain is None:
        raise Conflict(f"name: {name} was removed by somebody else while it was being cloned.")
    return domain


def _foreseen(params: dict[str, Any], source: Source, tools: Tools) -> bool:
    """Whether this item rests on an earlier one, which lets the source's disks be shared."""
    if not _bases(source):
        return False
    first = tools.forecast.setdefault(f"share:{source.domain.uuid}", {"by": params["name"]})
    return bool(first["by"] != params["name"])


def _bases(source: Source) -> list[SourceDisk]:
    """The source's disks that must become bases, since a clone's disk shall rest on them."""
    return [disk for disk in source.disks if source.choice[disk.target] == LINK and becomes_base(disk)]


def _plan_shares(params: dict[str, Any], source: Source, foreseen: bool, tools: Tools) -> list[Share]:
    """The source's disks that become bases; raises Conflict where that would break something."""
    large = [] if foreseen else _bases(source)
    if not large:
        return []
    held = source.snapshots or [found.name for disk in large for found in disk.image.chain[0].facts.snapshots]
    if held:
        raise Conflict(
            f"mode: linked clones would make the disk {large[0].image.path} a base that {source.name} never writes to "
            f"again, and its snapshots ({', '.join(sorted(set(held)))}) lie in there; use mode: full, or delete them first."
        )
    for disk in large:
        others = [user for user in domains_using(disk.image.path, tools) if user.top and user.name != source.name]
        if others:
            raise Conflict(
                f"mode: {disk.image.path} can't become a base for linked clones, because {others[0].sentence}; use "
                "mode: full."
            )
    return [plan_share(disk, vm=source.name, tools=tools) for disk in large]


def _plan_disks(params: dict[str, Any], source: Source) -> list[CloneDisk]:
    name, directory, edited = params["name"], params["directory"], params["identity"] == "edit"
    if edited:
        require_editor()
        require_host_name(name)
    disks = []
    for disk in source.disks:
        how = full_copy if source.choice[disk.target] == COPY else linked_copy
        disks.append(replace(how(disk, vm=name, directory=directory), edited=edited))
    return disks


def _steps(
    params: dict[str, Any],
    source: Source,
    disks: list[CloneDisk],
    macs: list[str],
    connection: Connection,
    tools: Tools,
) -> CloneSteps:
    name, own_uuid = params["name"], str(uuid.uuid4())
    own_macs = [mac or new_mac() for mac in macs]
    old_macs = [get(interface, "mac/@address") for interface in interfaces(source.root)]
    seed = None
    if source.seed or params["identity"] == "seed":
        folder = params["directory"] or os.path.dirname(source.seed or _first_path(source, disks))
        macs_by_old, another = dict(zip(old_macs, own_macs)), params["identity"] == "seed"
        seed = clone_seed(
            source.seed, name=name, uuid=own_uuid, folder=folder, macs=macs_by_old, another_machine=another
        )
        seed.is_current()
    nvram = nvram_of(source.root, params["uri"])
    identity = Identity(
        name=name,
        uuid=own_uuid,
        macs=own_macs,
        mode=params["mode"],
        disks={disk.target: (disk.path, disk.driver) for disk in disks},
        seed=(source.seed, seed.path if seed else ""),
        nvram=own_path(nvram, source.name, name) if nvram else "",
        skipped=source.skipped,
        new_serials=params["serials"] == "new",
    )
    return CloneSteps(source, identity, seed, nvram, connection, tools)


def _first_path(source: Source, disks: list[CloneDisk]) -> str:
    if not disks:
        raise InvalidOption(f"directory: no disk of {source.name} is copied, so give the folder for the clone's seed.")
    return disks[0].path


def _after(params: dict[str, Any], disks: list[CloneDisk], macs: list[str], seed: str) -> dict[str, Any]:
    return {
        "name": params["name"],
        "source": params["source"],
        "mode": params["mode"],
        "state": params["state"],
        "uuid": KNOWN_AFTER,
        "macs": [mac or KNOWN_AFTER for mac in macs],
        "disks": [disk.facts() for disk in disks],
        "seed": seed,
    }


def _warnings(source: Source, steps: CloneSteps) -> Iterable[str]:
    if steps.seed and fixed_host_name(steps.seed.files.get("user-data", "")):
        yield f"source: the cloud-init user-data of {source.name} sets a host name, which its clones then share."
    if source.root.find("{http://libvirt.org/schemas/domain/qemu/1.0}commandline") is not None:
        yield f"source: {source.name} has arguments for QEMU's command line, which its clones get as they are."


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """Nothing else works on the source or on the clone meanwhile."""
    if asks_for_process(params):
        return process_locks(params)
    return [f"domain:{params[key]}" for key in ("source", "name") if params[key]]


def names_image(params: dict[str, Any]) -> bool:
    """Whether the source is an image of a catalog; no name of a VM has a slash."""
    return "/" in (params["source"] or "")


def _join(params: dict[str, Any], tools: Tools) -> bool:
    if names_image(params):
        return False
    return join_running(_source(params), tools)


def _job(params: dict[str, Any], tools: Tools) -> str | None:
    if names_image(params):
        return None
    return job_of(_source(params), tools)


def _source(params: dict[str, Any]) -> dict[str, Any]:
    return as_source(params) if asks_for_process(params) else params


OPERATION = Operation(plan=plan_clone, result="clones", locks=locks, join=_join, job_id=_job, parallel=4)
