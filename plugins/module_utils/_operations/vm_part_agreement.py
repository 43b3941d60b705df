# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML beside the plain description must not contradict it: each run would set the one and then the other."""

from __future__ import annotations

from typing import Any

from .._errors import InvalidOption
from .._hypervisor import hardware
from .._hypervisor.devices import uplink
from .._hypervisor.sources import disks_of
from .._hypervisor.xml import Element, get
from . import vm_plain
from .vm_request import VmRequest
from .vm_request_devices import NetworkRequest


def require_agreement(request: VmRequest, told: Element, merged: Element) -> None:
    """Raise InvalidOption when `merged`, which is `told` with the XML in it, isn't what an option says any more."""
    before, after = _declared(request, told), _declared(request, merged)
    for option, value in before.items():
        if after[option] != value and not (option == "machine" and _is_meant(after[option], request)):
            raise InvalidOption(
                f"xml: both {option} and the XML tell this VM's {option}, and they don't agree; leave it out of the one or the other."
            )


def _is_meant(machine: str, request: VmRequest) -> bool:
    """Whether the machine in the XML is what the option says: both may name a family, of which the VM has some version."""
    return hardware.same_machine(machine, request.plain("machine"))


def _uplink(interface: Element, network: NetworkRequest) -> tuple[Any, ...]:
    """Of what it is, what the option tells; and which of network and bridge its XML names."""
    left_out = {name for name in ("model", "vlan") if getattr(network, name) in ("", None)}
    told = {name: value for name, value in uplink(interface).items() if name not in left_out}
    return told, *(get(interface, path) for path in ("@type", "source/@network", "source/@bridge"))


def _declared(request: VmRequest, root: Element) -> dict[str, Any]:
    """What options declare of `root`; of disks and networks only what is named, since the XML may have more of them."""
    found = vm_plain.declared_facts(root, request)
    if "memory" in found:
        found["memory"] = hardware.memory(root)
    if "networks" in found:
        networks = {network.mac: network for network in request.networks or () if network.mac}
        interfaces = [(one, networks.get(uplink(one).get("mac", ""))) for one in root.findall("devices/interface")]
        found["networks"] = [_uplink(one, network) for one, network in interfaces if network]
    if request.disks:
        named = set(vm_plain.declared_paths(root))
        found["disks"] = [(one.target, one.bus, one.path) for one in disks_of(root) if one.target in named]
    return found
