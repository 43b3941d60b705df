# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clones of QEMU processes: copies of their disks, all of one moment, while the guest goes on. No VM is made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Callable

from .._errors import Conflict, InvalidOption, Unsupported
from .._files import real_path, require_folder, require_regular
from .._hypervisor.capabilities import QMP, require
from .._hypervisor.qmp_disks import QmpDisk
from .._hypervisor.qmp_process import SCHEME, QemuProcess
from .._plan import Plan, Step
from .._qemu.guestfs_identity import require_host_name
from .._records import read_record
from .guest_identity_edit import require_editor
from .inspection import Inspected
from .long_work import check_timeout
from .operation import Tools
from .pull_process import require_readable_process
from .pull_source import process_key
from .qmp_request import process_of, refuse_options, socket_of
from .vm_clone_choice import COPY, SKIP, Choice, read_choice
from .vm_clone_copy import CloneDisk
from .vm_clone_disk import SourceDisk
from .vm_clone_disks import full_copy, missing, require_room
from .vm_clone_group import disk_steps
from .vm_request import check_name

# Values that make no VM; what the others ask for needs one.
_OF_NO_VM = {"state": "stopped", "tpm": "refuse", "serials": "new"}


def as_source(params: dict[str, Any]) -> dict[str, Any]:
    """The options with the process as a source that jobs know, by its socket."""
    uri = SCHEME + socket_of(params)
    return {**params, "source": params["source"] or uri, "uri": uri}


def plan_process_clone(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan the copies of one process' disks; raises Unsupported for what only libvirt can do."""
    _require_possible(params)
    check_name(params["name"])
    check_timeout(params)
    process = process_of(params, tools, name=params["source"], option="source")
    disks = _disks(params, process)
    _claim(disks, tools)
    before = _found(params, process.name, disks)
    if _is_there(before, disks):
        return Plan(params["name"], before, before, lambda: before)
    require_readable_process(process)
    lacking = missing(disks, tools)
    require_room(lacking, vm=params["name"], tools=tools)
    info: dict[str, Any] = {}
    named = {**as_source(params), "source": process.name}
    making = disk_steps(named, process_key(process.path), lacking, tools, info)
    return Plan(
        item=params["name"],
        before={},
        after=_facts(params, process.name, disks),
        observe=lambda: _observed(params, process.name, disks),
        steps=tuple(Step(step.title, _alone(step.run, process.path, tools)) for step in making),
        info=info,
    )


def _require_possible(params: dict[str, Any]) -> None:
    refuse_options(params, "quiesce", ("quiesce",))
    refuse_options(params, "clone_of_snapshot", ("snapshot",))
    refuse_options(params, "clone_as_vm", ("mac", "wait_for"))
    for option, value in _OF_NO_VM.items():
        if params[option] != value:
            require(QMP, "clone_as_vm", option=f"{option}: {params[option]}")
    if params["identity"] == "seed":
        require(QMP, "clone_as_vm", option="identity: seed")
    if params["mode"] != "full":
        require(QMP, "link", option=f"mode: {params['mode']}")


def _disks(params: dict[str, Any], process: QemuProcess) -> list[CloneDisk]:
    """The copies to make, one for each disk that the guest may write to and that isn't left out."""
    choice, found = read_choice(params), {disk.target: disk for disk in process.disks() if not disk.readonly}
    choice.require_known(found, vm=process.name)
    edited = params["identity"] == "edit"
    if edited:
        require_editor()
        require_host_name(params["name"])
    disks = [_copy(disk, params, process) for disk in found.values() if _is_copied(disk, choice)]
    if not disks:
        raise InvalidOption(f"disks: {process.name} has no disk that it writes to and that isn't left out.")
    return [replace(disk, edited=edited) for disk in disks]


def _is_copied(disk: QmpDisk, choice: Choice) -> bool:
    wanted = choice.by_target.get(disk.target, COPY)
    if wanted not in (COPY, SKIP):
        require(QMP, "link", option=f"disks: mode: {wanted}")
    return wanted == COPY


def _copy(disk: QmpDisk, params: dict[str, Any], process: QemuProcess) -> CloneDisk:
    if not (os.path.isabs(disk.path) and os.path.isfile(disk.path)):
        raise Unsupported(
            f"source: the disk {disk.target} of {process.name} is '{disk.path}', which isn't the absolute path of a file here; start "
            "QEMU with one, or leave the disk out (disks: mode: skip)."
        )
    if disk.encrypted:
        raise Unsupported(
            f"source: the disk {disk.target} of {process.name} is encrypted, and encrypted disks can't be cloned yet; leave it out "
            "(disks: mode: skip)."
        )
    require_regular(disk.path, option="source")
    files = tuple(real_path(layer.path) for layer in disk.layers)
    format = "raw" if disk.format == "raw" else "qcow2"
    image = Inspected(real_path(disk.path), format, disk.size, files)
    copy = full_copy(SourceDisk(disk.target, image, pulled=True), vm=params["name"], directory=params["directory"])
    require_folder(copy.path, option="directory")
    return replace(copy, of=process.name)


def _claim(disks: Sequence[CloneDisk], tools: Tools) -> None:
    for disk in disks:
        if f"clone:{disk.path}" in tools.forecast:
            raise InvalidOption(
                f"name: two items of the list would make {disk.path}; give each clone a name of its own."
            )
        tools.forecast[f"clone:{disk.path}"] = {"by": disk.vm}


def _facts(params: dict[str, Any], source: str, disks: Sequence[CloneDisk]) -> dict[str, Any]:
    shown = [disk.facts() for disk in disks]
    return {"name": params["name"], "source": source, "mode": "full", "disks": shown}


def _found(params: dict[str, Any], source: str, disks: Sequence[CloneDisk]) -> dict[str, Any]:
    """The facts of those copies that are there and are ours, whatever was written to them since."""
    return _facts(params, source, [disk for disk in disks if _point(disk) is not None])


def _is_there(found: dict[str, Any], disks: Sequence[CloneDisk]) -> bool:
    """Whether the clone is whole: all of its disks, of one moment."""
    return len(found["disks"]) == len(disks) and len({_point(disk) for disk in disks}) == 1


def _point(disk: CloneDisk) -> str | None:
    """The moment that a copy is of; None for what isn't this copy."""
    record = read_record(disk.path) if os.path.exists(disk.path) else None
    if record is None or (record.options.get("vm"), record.options.get("of")) != (disk.vm, disk.of):
        return None
    return str(record.source.get("point", ""))


def _observed(params: dict[str, Any], source: str, disks: Sequence[CloneDisk]) -> dict[str, Any]:
    found = _found(params, source, disks)
    if not _is_there(found, disks):
        raise Conflict(f"name: a disk of {params['name']} was removed or replaced by somebody else meanwhile.")
    return found


def _alone(run: Callable[[], None], socket: str, tools: Tools) -> Callable[[], None]:
    """QEMU serves one client at a time, and the job is another one."""

    def leaving() -> None:
        tools.leave(socket)
        run()

    return leaving
