# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running network differs in from its definition: what libvirt can change while it runs, and what takes a restart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._hypervisor.network_edit import dhcp_host, dhcp_range, dns_host
from .._hypervisor.network_facts import dns_hosts, interface, leases
from .._hypervisor.virtual_network import VirtualNetwork
from .._hypervisor.xml import Element, alike, clone, drop, get, serialise

_WORDS = {"forward": "mode", "ip": "addresses"}
_NOT_OURS = ("name", "uuid", "metadata")


@dataclass(frozen=True)
class Update:
    """One element that is added or removed; `parent` is the number of its <ip>."""

    section: str
    element: Element
    add: bool
    parent: int = -1

    @property
    def title(self) -> str:
        """What it does, for people."""
        told = " ".join(self.element.attrib.values())
        return f"{'add' if self.add else 'remove'} {_TITLES[self.section]} {told}"

    def run(self, network: VirtualNetwork) -> None:
        """Do it."""
        network.update(self.section, text=serialise(self.element), parent=self.parent, add=self.add)


_TITLES = {"IP_DHCP_RANGE": "the range", "IP_DHCP_HOST": "the lease", "DNS_HOST": "the name"}


def updates(live: Element, wanted: Element) -> list[Update]:
    """What libvirt can change of the running network, in an order that it takes: first what goes."""
    found = [*_of_dns(live, wanted), *_of_subnets(live, wanted)]
    # A lease lies in a subnet, and needs no range; a range may not overlap one that is still there.
    return sorted(found, key=lambda update: update.add)


def _of_dns(live: Element, wanted: Element) -> Iterator[Update]:
    for host, add in _differing(dns_hosts(live), dns_hosts(wanted)):
        yield Update("DNS_HOST", dns_host(host), add)


def _of_subnets(live: Element, wanted: Element) -> Iterator[Update]:
    there = {interface(element): element for element in wanted.findall("ip")}
    for number, element in enumerate(live.findall("ip")):
        other = there.get(interface(element))
        if other is None:
            continue
        for span, add in _differing(_ranges(element), _ranges(other)):
            yield Update("IP_DHCP_RANGE", Element("range", {"start": span[0], "end": span[1]}), add, number)
        for lease, add in _differing(leases(element), leases(other)):
            yield Update("IP_DHCP_HOST", dhcp_host(lease), add, number)


def _ranges(element: Element) -> list[tuple[str, str]]:
    return [dhcp_range(each) for each in element.findall("dhcp/range")]


def _differing(before: list[Any], after: list[Any]) -> list[tuple[Any, bool]]:
    """Each that goes with False, each that comes with True."""
    gone = [(each, False) for each in before if each not in after]
    return gone + [(each, True) for each in after if each not in before]


def restart_reasons(live: Element, wanted: Element) -> list[str]:
    """Names of what differs and takes effect at the next start only."""
    mine, others = _fixed(live), _fixed(wanted)
    tags = sorted({child.tag for child in (*mine, *others)})
    found = [tag for tag in tags if not _alike_lists(mine.findall(tag), others.findall(tag))]
    if mine.attrib != others.attrib:
        found.append("network")
    return [_WORDS.get(tag, tag.rpartition("}")[2]) for tag in found]


def _alike_lists(ones: list[Element], others: list[Element]) -> bool:
    return len(ones) == len(others) and all(map(alike, ones, others))


def _fixed(root: Element) -> Element:
    """What of a description can't be changed while the network runs."""
    found = clone(root)
    for path in (*_NOT_OURS, "dns/host"):
        drop(found, path)
    for element in found.findall("ip"):
        for path in ("dhcp/range", "dhcp/host"):
            drop(element, path)
        _drop_empty(element, "dhcp")
    _drop_empty(found, "dns")
    _drop_told_twice(found)
    _drop_default_ports(found)
    subnets = sorted(found.findall("ip"), key=interface)
    drop(found, "ip")
    found.extend(subnets)
    return found


def _drop_empty(parent: Element, tag: str) -> None:
    element = parent.find(tag)
    if element is not None and not len(element) and not element.attrib:
        parent.remove(element)


def _drop_told_twice(root: Element) -> None:
    """libvirt repeats the device of <forward> in an element, and counts there who uses it."""
    device = get(root, "forward/@dev")
    for forward in root.findall("forward"):
        for element in forward.findall("interface"):
            element.attrib.pop("connections", None)
            if device and element.get("dev") == device:
                forward.remove(element)


def _drop_default_ports(root: Element) -> None:
    """What runs names the ports of NAT that a definition needn't name."""
    drop(root, "forward/nat/port[@start='1024'][@end='65535']")
    for forward in root.findall("forward"):
        _drop_empty(forward, "nat")
