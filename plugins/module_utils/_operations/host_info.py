# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a host: what it has for VMs, what they were given, and which there are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._errors import ImageOpsError, InvalidOption, NotFound, Unsupported
from .._hypervisor import hardware, host
from .._hypervisor.connection import Connection, require_local
from .._hypervisor.domain import Domain
from .._hypervisor.tuning import hugepages
from .._plan import Plan
from .held_images import held_images
from .operation import Operation, Tools
from .vm_host import acceleration, default_folder, host_arch
from .vm_labels import labels_of

_KNOWN = "host"


def every_vm(params: dict[str, Any], tools: Tools) -> Iterable[dict[str, Any]]:
    """One item per VM; what the host itself has is looked at here, since it may have none."""
    require_local(params["uri"])
    for folder in params["folders"]:
        if not folder.startswith("/"):
            raise InvalidOption(f"folders: '{folder}' is no absolute path.")
    connection = tools.hypervisor(params["uri"])
    tools.forecast[_KNOWN] = _host(connection, params["folders"])
    return [{**params, "name": domain.name, "domain": domain} for domain in connection.domains()]


def plan_host_info(params: dict[str, Any], tools: Tools) -> Plan:
    """The facts of one VM, which are counted in those of the host; what can't be read becomes its `error`."""
    domain: Domain = params["domain"]
    try:
        found = _vm(domain)
    except NotFound:
        found = {"name": domain.name, "state": "absent"}
    except ImageOpsError as error:
        found = {"name": domain.name, "uuid": domain.uuid, "state": "unknown", "error": str(error)}
    _count(found, tools.forecast[_KNOWN])
    found.pop("untouched", None)
    return Plan(item=domain.name, before={}, after=found, observe=lambda: found)


def _host(connection: Connection, folders: list[str]) -> dict[str, Any]:
    total, available = host.memory()
    best = acceleration(connection, "auto")
    return {
        "memory": {"total": total, "available": available, "promised": 0, "free": available, "stopped": 0},
        "hugepages": host.huge_pages(),
        "cpus": host.cpus(connection),
        "vcpus": {"running": 0, "stopped": 0},
        "storage": _storage(connection, folders),
        "default_folder": _default_folder(connection),
        "images": _images(),
        "arch": host_arch(connection),
        "acceleration": best.as_dict(),
        "libvirt": _text(connection.version),
        "qemu": _text(connection.engine_version),
        "uri": connection.uri,
    }


def _storage(connection: Connection, folders: list[str]) -> list[dict[str, Any]]:
    try:
        found = host.pools(connection)
    except Unsupported:
        found = []
    known = {each["path"] for each in found}
    return found + [{"pool": "", **host.space(folder)} for folder in dict.fromkeys(folders) if folder not in known]


def _images() -> list[dict[str, Any]]:
    """Images of catalogs that are here as they were pulled."""
    told = ("reference", "digest", "path", "disk", "format", "size")
    return [{name: getattr(held, name) for name in told} for held in held_images() if held.valid]


def _default_folder(connection: Connection) -> str:
    try:
        return default_folder(connection)
    except Unsupported:
        return ""


def _text(version: tuple[int, int, int]) -> str:
    return ".".join(str(number) for number in version)


def _vm(domain: Domain) -> dict[str, Any]:
    active = domain.active
    # A VM that runs uses what it was started with, and has the labels of its definition.
    root = domain.xml()
    now = domain.xml(inactive=False) if active else root
    size = hardware.memory(now)
    on_pages = hugepages(now) is not False
    return {
        "name": domain.name,
        "uuid": domain.uuid,
        "state": domain.state,
        "running": active,
        "memory": size,
        "vcpus": hardware.vcpus(now),
        "hugepages": on_pages,
        "labels": labels_of(root),
        # Huge pages were taken from the memory that is available when the host reserved them.
        "untouched": max(0, size - host.resident(domain)) if active and not on_pages else 0,
    }


def _count(vm: dict[str, Any], known: dict[str, Any]) -> None:
    if "memory" not in vm:
        return
    memory, kind = known["memory"], "running" if vm["running"] else "stopped"
    known["vcpus"][kind] += vm["vcpus"]
    if vm["running"]:
        memory["promised"] += vm["untouched"]
    elif not vm["hugepages"]:
        memory["stopped"] += vm["memory"]
    memory["free"] = max(0, memory["available"] - memory["promised"])


def known_host(tools: Tools) -> dict[str, Any]:
    """What is told beside the list of VMs."""
    return {"host": dict(tools.forecast.get(_KNOWN, {}))}


OPERATION = Operation(plan=plan_host_info, result="vms", expand=every_vm, summarise=known_host)
