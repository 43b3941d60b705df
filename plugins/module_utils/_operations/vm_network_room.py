# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What else is on the host that a virtual network may not collide with: subnets, interfaces, other networks."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union

from .._errors import Conflict, InvalidOption, NotFound
from .._hypervisor.connection import Connection
from .._hypervisor.library import tell_each
from .._hypervisor.network_facts import BRIDGE
from .._hypervisor.routes import PROC, routes
from .._hypervisor.virtual_network import all_networks
from .operation import Tools
from .vm_host import require_bridge, require_vlan
from .vm_network_definition import facts_or_none
from .vm_network_request import NetworkRequest

Net = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

INTERFACES = "/sys/class/net"


@dataclass(frozen=True)
class Claim:
    """What a network has for itself."""

    subnets: tuple[Net, ...]
    bridge: str


def require_room(
    request: NetworkRequest, before: dict[str, Any], after: dict[str, Any], connection: Connection, tools: Tools
) -> None:
    """Raise what on the host speaks against a network with the facts `after`."""
    _require_interfaces(request, before, after, connection)
    others = claims(connection, tools)
    subnets = subnets_of(after)
    for name, claim in others.items():
        if name == request.name:
            continue
        if after["mode"] != BRIDGE and after["bridge"] and claim.bridge == after["bridge"]:
            raise Conflict(f"bridge: {after['bridge']} is the bridge of the network {name}; give each network its own.")
        _require_apart(subnets, claim.subnets, f"the network {name}")
    own = {after["bridge"], before.get("bridge", "")}
    for interface, subnet in host_subnets():
        if interface not in own:
            _require_apart(subnets, (subnet,), f"the host's interface {interface}")


def _require_apart(ours: tuple[Net, ...], theirs: tuple[Net, ...], whose: str) -> None:
    for one in ours:
        for other in theirs:
            if one.version == other.version and one.overlaps(other):
                raise Conflict(f"addresses: {one} overlaps {other} of {whose}; give a subnet that nobody has.")


def _require_interfaces(
    request: NetworkRequest, before: dict[str, Any], after: dict[str, Any], connection: Connection
) -> None:
    bridge, device = after["bridge"], after["forward_dev"]
    if after["mode"] == BRIDGE:
        require_bridge(bridge, option="bridge")
        if after["vlan"]:
            require_vlan(connection, "", bridge, option="vlan")
    elif bridge and bridge != before.get("bridge") and os.path.exists(f"{INTERFACES}/{bridge}"):
        raise Conflict(
            f"bridge: the host has an interface called {bridge} already; give another name, or use mode: bridge to put guests on it."
        )
    if request.declared.get("forward_dev") and not os.path.exists(f"{INTERFACES}/{device}"):
        raise NotFound(
            f"forward_dev: the host has no interface called {device}; give one that it has, or leave it out."
        )


def claims(connection: Connection, tools: Tools) -> dict[str, Claim]:
    """What the networks of the host have, by name; looked at once for all items of a task, which put in there what they ask for."""
    found: dict[str, Claim] = tools.forecast.setdefault(f"networks:{connection.uri}", {})
    if not found:
        networks = all_networks(connection)
        for name, root in tell_each(networks, lambda network: (network.name, network.xml()), "describing the networks"):
            facts = facts_or_none(root)
            if facts:
                found[name] = claim_of(facts)
    return found


def claim_of(facts: dict[str, Any]) -> Claim:
    """What a network with these facts has for itself; a bridge of the host is nobody's."""
    return Claim(subnets_of(facts), "" if facts["mode"] == BRIDGE else facts["bridge"])


def subnets_of(facts: dict[str, Any]) -> tuple[Net, ...]:
    """Its subnets."""
    return tuple(ipaddress.ip_interface(subnet["address"]).network for subnet in facts["addresses"])


def host_subnets() -> Iterator[tuple[str, Net]]:
    """The subnets that the host's interfaces are in."""
    yield from ((route.interface, route.network) for route in routes(PROC) if route.direct)
    for line in _lines("if_inet6"):
        address, _index, prefix, _scope, _flags, name = line.split()
        found = ipaddress.ip_interface((int(address, 16).to_bytes(16, "big"), int(prefix, 16)))
        if not (found.is_loopback or found.is_link_local):
            yield name, found.network


def _lines(name: str) -> list[str]:
    try:
        with open(f"{PROC}/{name}", encoding="ascii") as stream:
            return stream.read().splitlines()
    except FileNotFoundError:
        # A host without IPv6.
        return []


def require_once(request: NetworkRequest, tools: Tools) -> None:
    """Raise InvalidOption when the list names the network twice."""
    if tools.has_twice(f"network:{request.uri}:{request.name}", request.params):
        raise InvalidOption(f"networks: {request.name} is named twice; put all that is wanted of it into one item.")
