# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of VMs: all of a host, or those named; one that can't be read doesn't hide the others."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .._errors import ImageOpsError, InvalidOption, Unsupported, system_error
from .._hypervisor.addresses import ANY, addresses
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._plan import Plan
from .operation import Operation, Tools
from .qmp_request import asks_for_process
from .vm_describe import absent, describe
from .vm_host import default_folder, started
from .vm_info_image import image_facts, source_of
from .vm_info_layers import layer_facts
from .vm_seed import seed_path


def every_vm(params: dict[str, Any], tools: Tools) -> Iterable[dict[str, Any]]:
    """One item per VM: those named, else all of the host; raises InvalidOption for an empty name."""
    if asks_for_process(params):
        return [params]
    names = params.get("names") if params.get("name") is None else [params["name"]]
    if "" in (names or ()):
        raise InvalidOption("name: an empty text names no VM; give a name, or leave name and names out for all VMs.")
    if names is None:
        names = [domain.name for domain in tools.hypervisor(params["uri"]).domains()]
    return [{**params, "name": name} for name in names]


def plan_vm_info(params: dict[str, Any], tools: Tools) -> Plan:
    """The facts of one VM; what can't be read becomes its `error`."""
    if asks_for_process(params):
        from .qmp_facts import plan_process_info

        return plan_process_info(params, tools)
    name, connection = params["name"], tools.hypervisor(params["uri"])
    try:
        domain = connection.domain(name)
        found = look(domain, connection, tools) if domain else {**absent(name, connection.uri), "exists": False}
        if domain and params.get("addresses"):
            found["addresses"] = addresses(domain, ANY) if domain.active else []
    except (ImageOpsError, OSError) as error:
        told = system_error(error) if isinstance(error, OSError) else error
        found = {"name": name, "uri": params["uri"], "exists": True, "state": "unknown", "error": str(told)}
    return Plan(item=name, before={}, after=found, observe=lambda: found)


def look(domain: Domain, connection: Connection, tools: Tools) -> dict[str, Any]:
    """Everything that is told of a VM that is there."""
    found = {**describe(domain, connection, deep=True), "exists": True}
    leases = _leases(connection, tools)
    for network in found["networks"]:
        network["addresses"] = sorted(leases.get(network.get("mac", ""), []))
    for disk in found["disks"]:
        disk["made_from"] = str(source_of(disk["path"]).get("path", ""))
        disk["image"] = image_facts(disk)
    found.update(layer_facts(domain, found["disks"]))
    found["started"] = _started(domain, connection)
    found["seed"] = _seed(domain, connection)
    return found


def _leases(connection: Connection, tools: Tools) -> dict[str, list[str]]:
    """Addresses by MAC, asked once for all VMs; not every hypervisor has leases."""
    known = tools.forecast.get("leases")
    if known is None:
        try:
            known = connection.leases()
        except Unsupported:
            known = {}
        tools.forecast["leases"] = known
    return known


def _started(domain: Domain, connection: Connection) -> float:
    """When the running VM was started, in seconds since the epoch; 0 when stopped or not known."""
    return started(connection.uri, domain.name) if domain.active else 0.0


def _seed(domain: Domain, connection: Connection) -> str:
    """The cloud-init seed that `vm` made for it."""
    path = seed_path(domain.name, default_folder(connection))
    return path if os.path.exists(path) else ""


OPERATION = Operation(plan=plan_vm_info, result="vms", expand=every_vm)
