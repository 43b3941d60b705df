# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of a running VM: as its guest tells, as libvirt's DHCP server gave them, as the host's ARP table knows them."""

from __future__ import annotations

from typing import Any

from .._errors import ImageOpsError
from . import agent
from .domain import Domain
from .library import calling
from .xml import get

ANY, AGENT, LEASE, ARP = "any", "agent", "lease", "arp"
# virDomainInterfaceAddressesSource of libvirt/libvirt-domain.h.
_SOURCES = {LEASE: 0, ARP: 2}


def addresses(domain: Domain, by: str) -> list[str]:
    """The addresses of the VM's own interfaces, IPv4 first, without link-local ones; `any` takes the first way that tells some."""
    if by != ANY:
        return _sorted(_by_agent(domain) if by == AGENT else _by_host(domain, _SOURCES[by]))
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
    own = {get(each, "mac/@address").lower() for each in domain.xml(inactive=False).findall("devices/interface")}
    return [each for mac, found in agent.interfaces(domain).items() if mac in own for each in found]


def _by_host(domain: Domain, source: int) -> list[str]:
    with calling(f"telling the addresses of {domain.name}"):
        found: dict[str, Any] = domain.raw.interfaceAddresses(source, 0)
    return [str(entry["addr"]) for interface in found.values() for entry in interface.get("addrs") or []]


def _sorted(found: list[str]) -> list[str]:
    wide = [each for each in dict.fromkeys(found) if not each.lower().startswith("fe80:")]
    return [each for each in wide if ":" not in each] + [each for each in wide if ":" in each]
