# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the XML of a libvirt network says, in the words of our options; the same content gives the same facts."""

from __future__ import annotations

import ipaddress
from typing import Any

from .xml import Element, get

ISOLATED, NAT, ROUTED, BRIDGE = "isolated", "nat", "routed", "bridge"
MODES = {NAT: "nat", ROUTED: "route", BRIDGE: "bridge"}
_NAMES = {libvirts: ours for ours, libvirts in MODES.items()}


def facts(root: Element) -> dict[str, Any]:
    """All that options declare, by option; what isn't there is an empty text, an empty list, 0 or False."""
    return {
        "mode": mode_of(root),
        "forward_dev": get(root, "forward/@dev"),
        "bridge": get(root, "bridge/@name"),
        "addresses": by_address([subnet(element) for element in root.findall("ip")]),
        "domain": get(root, "domain/@name"),
        "domain_local": get(root, "domain/@localOnly") == "yes",
        "dns": get(root, "dns/@enable") != "no",
        "dns_hosts": dns_hosts(root),
        "dns_forwarders": [forwarder.get("addr", "") for forwarder in root.findall("dns/forwarder[@addr]")],
        "mtu": int(get(root, "mtu/@size", "0")),
        "vlan": int(get(root, "vlan/tag/@id", "0")),
    }


def mode_of(root: Element) -> str:
    """Our name of its mode; libvirt's own for one that no option can have."""
    forward = root.find("forward")
    if forward is None:
        return ISOLATED
    told = forward.get("mode", "nat")
    return _NAMES.get(told, told)


def by_address(subnets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Subnets in one order, IPv4 first."""
    return sorted(subnets, key=lambda each: (":" in each["address"], int(ipaddress.ip_interface(each["address"]))))


def subnet(element: Element) -> dict[str, Any]:
    """An <ip> as an item of the option `addresses`; `other_ranges`, which no option can have, only where there are some."""
    ranges = [(address(one.get("start", "")), address(one.get("end", ""))) for one in element.findall("dhcp/range")]
    start, end = ranges[0] if ranges else ("", "")
    more = {"other_ranges": [list(each) for each in ranges[1:]]} if ranges[1:] else {}
    return {"address": interface(element), "dhcp_start": start, "dhcp_end": end, "leases": leases(element), **more}


def interface(element: Element) -> str:
    """The address of an <ip> with its prefix, such as 10.0.0.1/24."""
    told = element.get("prefix") or element.get("netmask")
    if not told:
        # libvirt takes the class of the address then.
        told = "64" if element.get("family") == "ipv6" else _classful(element.get("address", ""))
    return str(ipaddress.ip_interface(f"{element.get('address')}/{told}"))


def _classful(told: str) -> str:
    first = int(told.partition(".")[0])
    return "8" if first < 128 else "16" if first < 192 else "24"


def address(told: str) -> str:
    """An IP address as it is usually written."""
    return str(ipaddress.ip_address(told)) if told else ""


def lease(element: Element) -> dict[str, str]:
    """A <host> of DHCP."""
    return {
        "mac": element.get("mac", "").lower(),
        "id": element.get("id", ""),
        "name": element.get("name", ""),
        "address": address(element.get("ip", "")),
    }


def leases(element: Element) -> list[dict[str, str]]:
    """Those of an <ip>, in the order of their addresses."""
    return in_order([lease(host) for host in element.findall("dhcp/host")])


def dns_host(element: Element) -> dict[str, Any]:
    """A <host> of DNS."""
    return {
        "address": address(element.get("ip", "")),
        "names": sorted((one.text or "").strip() for one in element.findall("hostname")),
    }


def dns_hosts(root: Element) -> list[dict[str, Any]]:
    """Those of the network, in the order of their addresses."""
    return in_order([dns_host(host) for host in root.findall("dns/host")])


def in_order(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Items with an `address`, sorted by it."""
    return sorted(items, key=lambda item: (":" in item["address"], _number(item["address"]), str(sorted(item.items()))))


def _number(told: str) -> int:
    return int(ipaddress.ip_address(told)) if told else 0
