# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks of one virtual network: its options read, and refused where they can't be meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .._hypervisor.connection import require_local
from .._hypervisor.network_edit import OPTIONS
from .._hypervisor.network_facts import BRIDGE, NAT, ROUTED
from .vm_network_addresses import read_addresses, read_dns_hosts, read_forwarders, require_host_name

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}\Z")
# The kernel's limit is 16 bytes with the one that ends it; it takes no slash, no colon and no space.
_MOST_INTERFACE = 15
_INTERFACE = re.compile(r"^[^\s/:]+\Z")
_MTU = (68, 65535)
_MOST_VLAN = 4094
# What a network on a bridge of the host can't have: others give addresses and names there.
_NOT_ON_BRIDGE = ("forward_dev", "addresses", "domain", "domain_local", "dns", "dns_hosts", "dns_forwarders", "mtu")


@dataclass(frozen=True)
class NetworkRequest:
    """One network; `declared` holds the options that were given, in the form in which facts are told."""

    name: str
    state: str
    uri: str
    restart: str
    declared: dict[str, Any]
    xml: str
    autostart: bool | None
    params: dict[str, Any]


def read_network(params: dict[str, Any]) -> NetworkRequest:
    """The request in the parameters `params`; raises InvalidOption or Unsupported."""
    name = params["name"]
    if not _NAME.match(name):
        raise InvalidOption(
            f"name: '{name}' can't name a network; use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit."
        )
    require_local(params["uri"])
    declared = {option: read(params[option]) for option, read in _READERS.items() if params.get(option) is not None}
    _require_sense(declared)
    return NetworkRequest(
        name=name,
        state=params["state"],
        uri=params["uri"],
        restart=params["restart"],
        declared={option: declared[option] for option in OPTIONS if option in declared},
        xml=params.get("xml") or "",
        autostart=params.get("autostart"),
        params=params,
    )


def _interface(option: str) -> Any:
    def read(name: str) -> str:
        if not name and option == "forward_dev":
            return ""
        if len(name.encode()) > _MOST_INTERFACE:
            raise InvalidOption(
                f"{option}: '{name}' has {len(name.encode())} characters, and an interface's name has {_MOST_INTERFACE} at most; give a shorter one."
            )
        if name in ("", ".", "..") or not _INTERFACE.match(name):
            raise InvalidOption(f"{option}: '{name}' is no name of an interface; give one such as virbr7.")
        return name

    return read


def _mtu(value: int) -> int:
    if value and not _MTU[0] <= value <= _MTU[1]:
        raise InvalidOption(f"mtu: {value} is no size of packets; give {_MTU[0]} to {_MTU[1]}, or 0 for the usual one.")
    return value


def _vlan(value: int) -> int:
    if not 0 <= value <= _MOST_VLAN:
        raise InvalidOption(f"vlan: {value} is no VLAN; give 1 to {_MOST_VLAN}, or 0 for none.")
    return value


def _domain(name: str) -> str:
    if name:
        require_host_name(name, option="domain")
    return name


def _same(value: Any) -> Any:
    return value


_READERS: dict[str, Any] = {
    "mode": _same,
    "forward_dev": _interface("forward_dev"),
    "bridge": _interface("bridge"),
    "addresses": read_addresses,
    "domain": _domain,
    "domain_local": _same,
    "dns": _same,
    "dns_hosts": read_dns_hosts,
    "dns_forwarders": read_forwarders,
    "mtu": _mtu,
    "vlan": _vlan,
}


def _require_sense(declared: dict[str, Any]) -> None:
    """Raise InvalidOption for options that exclude each other whatever is there."""
    if declared.get("dns") is False and (declared.get("dns_hosts") or declared.get("dns_forwarders")):
        raise InvalidOption("dns: without a DNS server nobody tells dns_hosts or asks dns_forwarders; leave them out.")


def require_mode(facts: dict[str, Any], declared: dict[str, Any]) -> None:
    """Raise InvalidOption for declared options that a network with all of `facts` can't have."""
    mode = facts["mode"]
    if mode == BRIDGE:
        wrong = next((option for option in _NOT_ON_BRIDGE if declared.get(option)), "")
        if wrong:
            raise InvalidOption(
                f"{wrong}: a network on a bridge of the host (mode: bridge) has none of its own; leave it out, or use another mode."
            )
        if not facts["bridge"]:
            raise InvalidOption("bridge: mode bridge needs the name of a bridge that the host has.")
    elif declared.get("vlan"):
        raise InvalidOption(
            "vlan: only a network on a bridge of the host (mode: bridge) can be in a VLAN; leave it out."
        )
    if facts["domain_local"] and not facts["domain"]:
        raise InvalidOption("domain_local: it says how names of domain are looked up, and there is none; give domain.")


def require_forwarding(mode: str) -> None:
    """Raise InvalidOption for a way out of a network that has none."""
    if mode not in (NAT, ROUTED):
        raise InvalidOption(f"forward_dev: a network whose mode is {mode} forwards nothing; use mode nat or routed.")
