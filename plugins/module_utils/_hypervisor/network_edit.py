# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options set in the XML of a libvirt network by path; what no option speaks of stays."""

from __future__ import annotations

import ipaddress
from typing import Any, Callable

from . import network_facts as told
from .xml import Element, drop, ensure, put

# What only networks have whose bridge is libvirt's own.
_OF_OWN_BRIDGE = ("bridge/@stp", "bridge/@delay", "bridge/@zone", "mac", "mtu", "domain", "dns", "ip", "route")


def set_option(root: Element, option: str, value: Any) -> None:
    """Have `root` say `value` of `option`, in the form in which `network_facts.facts` tells it."""
    _SETTERS[option](root, value)


def _set_mode(root: Element, mode: str) -> None:
    before = told.mode_of(root)
    if mode == told.ISOLATED:
        drop(root, "forward")
    else:
        put(root, "forward/@mode", told.MODES[mode])
    if mode != told.NAT:
        drop(root, "forward/nat")
    if mode == told.BRIDGE:
        drop(root, "forward/@dev")
        drop(root, "forward/interface")
        for path in _OF_OWN_BRIDGE:
            drop(root, path)
    elif before == told.BRIDGE:
        # The bridge was the host's own.
        for path in ("bridge", "vlan", "virtualport"):
            drop(root, path)


def _set_forward_dev(root: Element, name: str) -> None:
    # libvirt repeats it in an element of its own.
    drop(root, "forward/interface")
    put(root, "forward/@dev", name or None)


def _set_domain_local(root: Element, value: bool) -> None:
    put(root, "domain/@localOnly", "yes" if value else None)


def _set_dns(root: Element, value: bool) -> None:
    put(root, "dns/@enable", None if value else "no")
    _tidy(root, "dns")


def _set_dns_hosts(root: Element, hosts: list[dict[str, Any]]) -> None:
    dns = ensure(root, "dns")
    _keep(dns, "host", told.dns_host, hosts)
    for host in _lacking(dns, "host", told.dns_host, hosts):
        dns.append(dns_host(host))
    _tidy(root, "dns")


def dns_host(host: dict[str, Any]) -> Element:
    """The <host> of DNS."""
    found = Element("host", {"ip": host["address"]})
    for name in host["names"]:
        child = Element("hostname")
        child.text = name
        found.append(child)
    return found


def _set_dns_forwarders(root: Element, addresses: list[str]) -> None:
    drop(root, "dns/forwarder[@addr]")
    for number, address in enumerate(addresses):
        ensure(root, "dns").insert(number, Element("forwarder", {"addr": address}))
    _tidy(root, "dns")


def _set_vlan(root: Element, vlan: int) -> None:
    drop(root, "vlan")
    if vlan:
        put(root, "vlan/tag/@id", str(vlan))


def _set_addresses(root: Element, addresses: list[dict[str, Any]]) -> None:
    there = {told.interface(element): element for element in root.findall("ip")}
    drop(root, "ip")
    for wanted in addresses:
        element = there.get(wanted["address"])
        if element is None:
            element = _ip(wanted["address"])
        _set_dhcp(element, wanted)
        root.append(element)


def _ip(interface: str) -> Element:
    found = ipaddress.ip_interface(interface)
    family = {"family": "ipv6"} if found.version == 6 else {}
    return Element("ip", {**family, "address": str(found.ip), "prefix": str(found.network.prefixlen)})


def _set_dhcp(element: Element, wanted: dict[str, Any]) -> None:
    dhcp = ensure(element, "dhcp")
    span = [(wanted["dhcp_start"], wanted["dhcp_end"])] if wanted["dhcp_start"] else []
    _keep(dhcp, "range", dhcp_range, span)
    for each in _lacking(dhcp, "range", dhcp_range, span):
        dhcp.insert(0, Element("range", {"start": each[0], "end": each[1]}))
    _keep(dhcp, "host", told.lease, wanted["leases"])
    for lease in _lacking(dhcp, "host", told.lease, wanted["leases"]):
        dhcp.append(dhcp_host(lease))
    _tidy(element, "dhcp")


def dhcp_range(element: Element) -> tuple[str, str]:
    """Start and end of a <range>."""
    return told.address(element.get("start", "")), told.address(element.get("end", ""))


def dhcp_host(lease: dict[str, str]) -> Element:
    """The <host> of DHCP."""
    named = {"mac": lease["mac"], "id": lease["id"], "name": lease["name"], "ip": lease["address"]}
    return Element("host", {name: value for name, value in named.items() if value})


def _keep(parent: Element, tag: str, read: Callable[[Element], Any], wanted: list[Any]) -> None:
    """Remove the elements that aren't wanted."""
    for element in parent.findall(tag):
        if read(element) not in wanted:
            parent.remove(element)


def _lacking(parent: Element, tag: str, read: Callable[[Element], Any], wanted: list[Any]) -> list[Any]:
    there = [read(element) for element in parent.findall(tag)]
    return [each for each in wanted if each not in there]


def _tidy(parent: Element, tag: str) -> None:
    """Remove the element `tag` when it says nothing."""
    element = parent.find(tag)
    if element is not None and not len(element) and not element.attrib:
        parent.remove(element)


def _plain(path: str) -> Callable[[Element, Any], None]:
    return lambda root, value: put(root, path, str(value) if value else None)


def _element(path: str, attribute: str) -> Callable[[Element, Any], None]:
    """The whole element goes with its value."""
    return lambda root, value: put(root, f"{path}/@{attribute}", str(value)) if value else drop(root, path)


_SETTERS: dict[str, Callable[[Element, Any], None]] = {
    "mode": _set_mode,
    "forward_dev": _set_forward_dev,
    "bridge": _plain("bridge/@name"),
    "addresses": _set_addresses,
    "domain": _element("domain", "name"),
    "domain_local": _set_domain_local,
    "dns": _set_dns,
    "dns_hosts": _set_dns_hosts,
    "dns_forwarders": _set_dns_forwarders,
    "mtu": _element("mtu", "size"),
    "vlan": _set_vlan,
}
OPTIONS = tuple(_SETTERS)
