# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of a running VM: as its guest tells, as libvirt's DHCP server gave them, as the host's ARP table knows them."""

from __future__ import annotations

import contextlib
from typing import Any

from .._errors import EngineError, ImageOpsError
from . import agent
from .domain import Domain
from .ip import usable
from .library import calling
from .xml import get

ANY, AGENT, LEASE, ARP = "any", "agent", "lease", "arp"
# virDomainInterfaceAddressesSource of libvirt/libvirt-domain.h.
_LEASE, _ARP = 0, 2
# The kernel's table of IPv4 neighbours (proc(5)): address, type, flags, MAC, mask, device; and the flag of one that answered.
NEIGHBOURS = "/proc/net/arp"
_COMPLETE = 0x2
# A guest may claim any number of them.
_MOST = 256


def addresses(domain: Domain, by: str) -> list[str]:
    """The addresses of the VM's own interfaces that lead to it, IPv4 first; `any` takes the first way that tells some."""
    if by != ANY:
        ways = {AGENT: _by_agent, LEASE: _by_host, ARP: _by_neighbours}
        return _sorted(ways[by](domain))
    for way in (LEASE, AGENT, ARP):
        try:
            found = addresses(domain, way)
        except ImageOpsError:
            continue
        if found:
            return found
    return []


def _by_agent(domain: Domain) -> list[str]:
    """Interfaces that the guest made itself (bridges, tunnels) have addresses that mean nothing outside."""
    own = _macs(domain)
    return [each for mac, found in agent.interfaces(domain).items() if mac in own for each in found]


def _macs(domain: Domain) -> set[str]:
    return {get(each, "mac/@address").lower() for each in domain.xml(inactive=False).findall("devices/interface")}


def _by_neighbours(domain: Domain) -> list[str]:
    """By libvirt, else by the kernel's own table: libvirt 9.0 fails with "wrong nlmsg len" where there are many neighbours."""
    with contextlib.suppress(EngineError):
        found = _by_host(domain, _ARP)
        if found:
            return found
    own = _macs(domain)
    with open(NEIGHBOURS, encoding="ascii") as stream:
        rows = [line.split() for line in stream.readlines()[1:]]
    return [row[0] for row in rows if row[3].lower() in own and int(row[2], 16) & _COMPLETE]


def _by_host(domain: Domain, source: int = _LEASE) -> list[str]:
    with calling(f"telling the addresses of {domain.name}"):
        found: dict[str, Any] = domain.raw.interfaceAddresses(source, 0)
    return [str(entry["addr"]) for interface in found.values() for entry in interface.get("addrs") or []]


def _sorted(found: list[str]) -> list[str]:
    known = [each for each in dict.fromkeys(usable(each) for each in found) if each]
    return sorted(known[:_MOST], key=lambda each: ":" in each)
