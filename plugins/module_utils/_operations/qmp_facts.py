# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a QEMU process is, as results tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import ImageOpsError, NotFound
from .._hypervisor.qmp_disks import QmpDisk
from .._hypervisor.qmp_process import SCHEME, QemuProcess
from .._plan import Plan
from .operation import Tools
from .qmp_request import name_by_socket, process_of, refuse_options, socket_of
from .qmp_world import look


def describe_process(process: QemuProcess, name: str | None = None) -> dict[str, Any]:
    """State, hardware, disks with their chains, snapshots."""
    disks = process.disks()
    return {
        "name": name or process.name,
        "uuid": process.uuid,
        "uri": process.uri,
        "state": process.state,
        **process.hardware(),
        "disks": [_shown(disk) for disk in disks],
        "snapshots": look(process).listed(),
    }


def gone_process(params: Mapping[str, Any], state: str) -> dict[str, Any]:
    """A process that isn't there."""
    return {"name": name_by_socket(params), "uri": SCHEME + socket_of(params), "state": state}


def plan_process_info(params: dict[str, Any], tools: Tools) -> Plan:
    """The facts of one process; what can't be read becomes its `error`."""
    refuse_options(params, "list", ("names",))
    try:
        process = process_of(params, tools, name=params["name"], option="name")
        found = {**describe_process(process, params["name"]), "exists": True}
    except NotFound:
        found = {**gone_process(params, "absent"), "exists": False}
    except ImageOpsError as error:
        found = {**gone_process(params, "unknown"), "exists": True, "error": str(error)}
    return Plan(item=found["name"], before={}, after=found, observe=lambda: found)


def _shown(disk: QmpDisk) -> dict[str, Any]:
    return {
        "target": disk.target,
        "device": disk.device,
        "path": disk.path,
        "active_path": disk.path,
        "format": disk.format,
        "readonly": disk.readonly,
        "size": disk.size,
        "chain": [layer.path for layer in disk.layers],
    }
