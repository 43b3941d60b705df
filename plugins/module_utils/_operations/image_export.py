# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exporting disks or a stopped VM for another platform: compare sources, options and what is there; write it by a job."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .._errors import Conflict
from .._files import partial_path, real_path, require_writable_folder
from .._plan import KNOWN_AFTER, Plan, Step
from .._portable import incus, opennebula, openstack, ovf_writer, proxmox, vagrant
from .._portable.machine import kept_state
from .._portable.presets import BOX, INCUS, OPENNEBULA, OPENSTACK, OVA, OVF, PROXMOX
from .._qemu.image_locks import holders
from .claims import claim_copy
from .export_found import Found, find
from .export_place import tidying
from .export_request import ExportRequest, read_request
from .export_signing import require_signer
from .export_state import KIND
from .export_verdict import require_replaceable, tells
from .long_work import job_step, job_writing, joining
from .operation import Operation, Tools
from .ownership import check_ownership, ownership_of
from .ownership_change import plan_ownership

_LEFT_OUT = {
    OPENSTACK: openstack.left_out,
    OPENNEBULA: opennebula.left_out,
    PROXMOX: proxmox.left_out,
    BOX: vagrant.left_out,
    INCUS: incus.left_out,
}


def plan_export(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one export; raises what speaks against it."""
    request = read_request(params, tools)
    claim_copy([one["path"] for disk in request.disks for one in disk.files], request.dest, tools, option="dest")
    owned = check_ownership(owner=params["owner"], group=params["group"], mode=params["mode"], path=request.dest)
    found = find(request.dest)
    _require_idle(request)
    if found.clean and tells(found, request):
        return _unchanged(request, found, params, tools)
    require_replaceable(found, request, force=params["force"])
    _require_unused(found, request, tools)
    require_writable_folder(request.dest, option="dest")
    require_signer(request)
    return _export(request, found, owned, params, tools)


def _require_idle(request: ExportRequest) -> None:
    for disk in request.disks:
        holder = holders(disk.path)
        if holder is not None and holder.writing:
            raise Conflict(
                f"disks: {disk.path} is {holder.sentence()}, so an export would be torn; stop the VM or take another source."
            )


def _require_unused(found: Found, request: ExportRequest, tools: Tools) -> None:
    if not found.there:
        return
    from .usage import refuse, users_of

    for path in found.files:
        refuse(path, users_of(path, tools, search_paths=()))


def facts_of(request: ExportRequest) -> dict[str, Any]:
    """What the export is, as the result tells it."""
    machine = request.machine
    lost, changed = list(request.left_out), list[str]()
    if request.vm or request.rules.describes:
        lost += kept_state(machine)
    if request.rules.layout in (OVA, OVF):
        lost += ovf_writer.left_out(machine, request.flavour)
        changed += ovf_writer.changes(machine, request.flavour)
    elif request.rules.layout in _LEFT_OUT:
        lost += _LEFT_OUT[request.rules.layout](machine)
    elif request.vm:
        lost.append(f"An export for {request.preset} is a disk; what machine it belongs to is not in it.")
    return {
        "dest": request.dest,
        "preset": request.preset,
        "name": machine.name,
        "disk_format": "vhd" if request.format == "vhd-fixed" else request.format,
        "disks": [
            {"name": disk.name, "path": disk.path, "format": disk.format, "size": drive.size}
            for disk, drive in zip(request.disks, machine.drives)
        ],
        "machine": machine.as_dict() if request.rules.describes else {},
        "left_out": lost,
        "altered": changed,
    }


def _unchanged(request: ExportRequest, found: Found, params: dict[str, Any], tools: Tools) -> Plan:
    """Nothing to write; owner, group and mode of the files may still differ."""
    steps: list[Step] = []
    warnings: list[str] = []
    now, owned = ownership_of(found.main), dict[str, Any]()
    for path in found.files:
        more, told, then = plan_ownership(
            path, owner=params["owner"], group=params["group"], mode=params["mode"], tools=tools
        )
        steps += more
        warnings += told
        owned = then if path == found.main else owned
    facts = {**facts_of(request), **found.told}
    return Plan(
        request.dest,
        {**facts, **now},
        {**facts, **owned},
        lambda: {**facts, **ownership_of(found.main)},
        steps=tuple(steps),
        upkeep=tidying(request.dest),
        warnings=tuple(warnings),
    )


def _export(request: ExportRequest, found: Found, owned: dict[str, Any], params: dict[str, Any], tools: Tools) -> Plan:
    """The plan that exports by a job."""
    facts = facts_of(request)
    after = {**facts, "files": KNOWN_AFTER, **owned}
    info: dict[str, Any] = {}
    leftover = os.path.lexists(partial_path(request.dest))
    source = f"the VM {request.vm}" if request.vm else ", ".join(disk.path for disk in request.disks)
    title = f"export {source} to {request.dest} for {request.preset}"
    title += " (an unfinished one is thrown away)" if leftover else ""
    step = job_step(title, request.job(tools.version), tools, params=params, info=info)

    def observe() -> dict[str, Any]:
        now = find(request.dest)
        return {**facts, "files": [], **now.told, **(ownership_of(now.main) if now.main else {})}

    return Plan(request.dest, _before(request, found), after, observe, steps=(step,), info=info)


def _before(request: ExportRequest, found: Found) -> dict[str, Any]:
    """What `dest` is now; nothing when it isn't there."""
    if not found.there:
        return {}
    record = found.record
    return {
        "dest": request.dest,
        "preset": record.format if record and record.operation == KIND else "",
        **found.told,
        **ownership_of(found.main or request.dest),
    }


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The destination's name, and the VM; the job itself holds the lock of what it writes."""
    dest = [real_path(params["dest"])] if params["dest"] else []
    return [*dest, *([f"domain:{params['vm']}"] if params["vm"] else [])]


OPERATION = Operation(
    plan=plan_export,
    result="exports",
    locks=locks,
    join=joining(read_request),
    job_id=job_writing(KIND, "dest"),
    parallel=2,
)
