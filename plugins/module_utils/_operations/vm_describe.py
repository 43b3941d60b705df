# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is, as results tell it."""

from __future__ import annotations

from typing import Any

from .._errors import ImageOpsError
from .._hypervisor import hardware
from .._hypervisor.connection import Connection
from .._hypervisor.devices import log_of, uplink
from .._hypervisor.domain import Domain
from .._hypervisor.firmware import firmware, secure_boot
from .._hypervisor.sources import disks_of
from .._hypervisor.tpm import has_tpm
from .._hypervisor.xml import Element, get
from .._plan import KNOWN_AFTER
from .vm_disks import Attached
from .vm_host import acceleration
from .vm_labels import labels_of
from .vm_plain import declared_paths

# Facts of which a running VM shows the old value until it is started again.
_FIXED_AT_START = (
    "memory", "vcpus", "firmware", "secure_boot", "tpm", "hugepages", "cpu_pinning", "acceleration", "console", "agent", "graphics",
)  # fmt: skip
# What libvirt replaces in the description of a running VM.
_EXPANDED = ("host-model", "maximum", "default")


def describe(
    domain: Domain, connection: Connection, *, deep: bool = False, late: list[str] | None = None
) -> dict[str, Any]:
    """State, hardware, disks and networks of a VM; `deep` follows chains of stopped VMs through their files.

    `late` names the facts that the next start will change, where they are known.
    """
    root = domain.xml()
    live = domain.xml(inactive=False) if domain.active else None
    return {
        "name": domain.name,
        "uuid": domain.uuid,
        "uri": connection.uri,
        "state": domain.state,
        "autostart": domain.autostart,
        **_hardware(root, live, connection),
        "disks": _disks(root if live is None else live, declared_paths(root), Attached(domain) if deep else None),
        "restart_required": bool(live is not None and (pending(live, root) if late is None else late)),
    }


def foretell(root: Element, live: Element | None, connection: Connection) -> dict[str, Any]:
    """What `describe` will tell of a VM with the description `root`; `live` is what a running one goes on with."""
    found = _hardware(root, live, connection)
    # libvirt chooses what the description leaves open.
    unknown = {name: KNOWN_AFTER for name in ("machine", "cpu") if found[name] in ("", "default")}
    disks = _disks(root if live is None else live, declared_paths(root), None)
    for network in found["networks"]:
        network.setdefault("mac", KNOWN_AFTER)
    return {**found, **unknown, "disks": disks}


def _hardware(root: Element, live: Element | None, connection: Connection) -> dict[str, Any]:
    """What a description tells but for disks; a running VM's interfaces and accelerator are those it runs with."""
    now = root if live is None else live
    return {
        "memory": hardware.memory(root),
        "vcpus": hardware.vcpus(root),
        "cpu": hardware.cpu(root),
        "machine": hardware.machine(root),
        "firmware": firmware(root),
        "secure_boot": secure_boot(root),
        "tpm": has_tpm(root),
        "acceleration": accelerated(now, connection),
        "labels": labels_of(root),
        "title": get(root, "title"),
        "description": get(root, "description"),
        "console_log": log_of(root),
        "networks": [uplink(element) for element in now.findall("devices/interface")],
    }


def accelerated(root: Element, connection: Connection) -> dict[str, str]:
    """How a VM is run, and why."""
    kind = hardware.acceleration(root)
    best = acceleration(connection, "auto")
    return best.as_dict() if best.kind == kind else {"type": kind, "reason": "as the VM is defined"}


def pending(live: Element, root: Element) -> list[str]:
    """Names of the facts that the next start will change."""
    now, then = (hardware.facts(one, (*_FIXED_AT_START, "cpu")) for one in (live, root))
    found = [name for name in _FIXED_AT_START if now[name] != then[name]]
    if not hardware.same_machine(hardware.machine(live), hardware.machine(root)):
        found.append("machine")
    if then["cpu"] not in _EXPANDED and now["cpu"] != then["cpu"]:
        found.append("cpu")
    if _media(live) != _media(root):
        found.append("disks")
    if _uplinks(live) != _uplinks(root):
        found.append("networks")
    return found


def _media(root: Element) -> list[tuple[str, str, str]]:
    return sorted((disk.target, disk.bus, disk.path) for disk in disks_of(root))


def _uplinks(root: Element) -> list[dict[str, str]]:
    return [uplink(element) for element in root.findall("devices/interface")]


def _disks(root: Element, declared: dict[str, str], attached: Attached | None) -> list[dict[str, Any]]:
    found = []
    for disk in disks_of(root):
        shown: dict[str, Any] = {
            "target": disk.target,
            "device": disk.device,
            "bus": disk.bus,
            "path": declared.get(disk.target, disk.path),
            "active_path": disk.path,
            "format": disk.format,
            "readonly": disk.readonly,
        }
        shown.update(_chain(attached, disk.target) if attached else {})
        found.append(shown)
    return found


def _chain(attached: Attached, target: str) -> dict[str, Any]:
    """The layers, active one first; of a chain that can't be followed what is known, and why."""
    disk = attached.at(target)
    if disk is None:
        return {"chain": []}
    try:
        return {"chain": list(attached.layers(disk))}
    except ImageOpsError as error:
        return {"chain": [disk.path], "chain_error": str(error)}


def absent(name: str, uri: str) -> dict[str, Any]:
    """A VM that isn't there."""
    return {"name": name, "uri": uri, "state": "absent"}


def observe(name: str, connection: Connection) -> dict[str, Any]:
    """The VM as it is now."""
    domain: Domain | None = connection.domain(name)
    return describe(domain, connection) if domain else absent(name, connection.uri)
