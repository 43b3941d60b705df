# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of virtual networks: subnets with their DHCP, names of DNS."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Union

from .._errors import InvalidOption
from .._hypervisor.network_facts import by_address, in_order
from .mac_address import MAC
from .vm_request_checks import require_xml_text

Interface = Union[ipaddress.IPv4Interface, ipaddress.IPv6Interface]
Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"^{_LABEL}(\.{_LABEL})*\Z")
_MOST_NAME = 253
# A DHCP Unique Identifier (RFC 8415, section 11) has up to 130 bytes.
_DUID = re.compile(r"^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){1,129}\Z")
# libvirt's limit for a range.
_MOST_LEASES = 65535
# dnsmasq gives addresses out in no smaller subnet of IPv6.
_LEAST_PREFIX = 64


def read_addresses(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The option `addresses` as facts tell it; raises InvalidOption."""
    found = [_subnet(value, f"addresses[{number}]") for number, value in enumerate(values)]
    networks = [ipaddress.ip_interface(each["address"]).network for each in found]
    for number, one in enumerate(networks):
        for other in networks[:number]:
            if one.version == other.version and one.overlaps(other):
                raise InvalidOption(f"addresses: {other} and {one} overlap; give each address a subnet of its own.")
    for version in (4, 6):
        with_dhcp = [each for each, net in zip(found, networks) if net.version == version and has_dhcp(each)]
        if len(with_dhcp) > 1:
            raise InvalidOption(
                f"addresses: {with_dhcp[0]['address']} and {with_dhcp[1]['address']} both have DHCP, and a network has one IPv{version} subnet "
                f"with it; leave it out of the others."
            )
    return by_address(found)


def has_dhcp(subnet: dict[str, Any]) -> bool:
    """Whether addresses are given out."""
    return bool(subnet["dhcp_start"] or subnet["leases"])


def _subnet(value: dict[str, Any], option: str) -> dict[str, Any]:
    interface = _interface(value["address"], f"{option}.address")
    start, end = _range(value, interface, option)
    leases = [
        _lease(lease, interface, f"{option}.leases[{number}]") for number, lease in enumerate(value.get("leases") or ())
    ]
    for key in ("address", "mac", "id"):
        require_once([lease[key] for lease in leases], f"{option}.leases", key)
    found = {"address": str(interface), "dhcp_start": start, "dhcp_end": end, "leases": in_order(leases)}
    if interface.version == 6 and has_dhcp(found) and interface.network.prefixlen < _LEAST_PREFIX:
        raise InvalidOption(
            f"{option}: {interface} has a prefix shorter than /{_LEAST_PREFIX}, in which no DHCP server gives addresses out; give /{_LEAST_PREFIX}."
        )
    return found


def _interface(told: str, option: str) -> Interface:
    """The host's address in the network with its prefix."""
    try:
        found = ipaddress.ip_interface(told if "/" in told else "")
    except ValueError:
        raise InvalidOption(
            f"{option}: '{told}' is not an address with a prefix; give one such as 10.20.0.1/24 or fd00:20::1/64."
        ) from None
    network, address = found.network, found.ip
    if network.prefixlen < 1 or network.num_addresses < 4:
        raise InvalidOption(
            f"{option}: {network} has no room for guests; give a prefix of /{network.max_prefixlen - 2} or shorter."
        )
    if address.is_loopback or address.is_multicast or address.is_unspecified or _is_edge(address, found):
        raise InvalidOption(
            f"{option}: {address} can't be the host's address in {network}; give one such as {network[1]}."
        )
    return found


def _is_edge(address: Address, interface: Interface) -> bool:
    """Whether it names the subnet itself, or all of it."""
    network = interface.network
    return address == network[0] or (network.version == 4 and address == network[-1])


def _range(value: dict[str, Any], interface: Interface, option: str) -> tuple[str, str]:
    told = value.get("dhcp_start"), value.get("dhcp_end")
    if not any(told):
        return "", ""
    if not all(told):
        raise InvalidOption(f"{option}: dhcp_start and dhcp_end belong together; give both, or none for no range.")
    start = inside(told[0] or "", interface, f"{option}.dhcp_start")
    end = inside(told[1] or "", interface, f"{option}.dhcp_end")
    if int(start) > int(end):
        raise InvalidOption(
            f"{option}: the range {start} to {end} ends before it begins; swap dhcp_start and dhcp_end."
        )
    if int(end) - int(start) >= _MOST_LEASES:
        raise InvalidOption(
            f"{option}: the range {start} to {end} has more than {_MOST_LEASES} addresses; give a shorter one."
        )
    return str(start), str(end)


def inside(told: str, interface: Interface, option: str) -> Address:
    """An address of the subnet; raises InvalidOption for another one."""
    found = _address(told, option)
    if found.version != interface.version or found not in interface.network:
        raise InvalidOption(f"{option}: {found} is outside of {interface.network}; give an address of that subnet.")
    if _is_edge(found, interface):
        raise InvalidOption(
            f"{option}: {found} is the first or last of {interface.network}, which no guest can have; give another one."
        )
    return found


def _address(told: str, option: str) -> Address:
    try:
        return ipaddress.ip_address(told)
    except ValueError:
        raise InvalidOption(f"{option}: '{told}' is not an IP address.") from None


def _lease(value: dict[str, Any], interface: Interface, option: str) -> dict[str, str]:
    address = inside(value["address"], interface, f"{option}.address")
    if address == interface.ip:
        raise InvalidOption(f"{option}.address: {address} is the host's own address in the network; give another one.")
    mac = (value.get("mac") or "").lower().replace("-", ":")
    if mac and not MAC.match(mac):
        raise InvalidOption(
            f"{option}.mac: '{value['mac']}' is no unicast MAC address; give one such as 52:54:00:12:34:56."
        )
    name, identity = value.get("name") or "", value.get("id") or ""
    if name:
        require_host_name(name, option=f"{option}.name")
    if identity and not _DUID.match(identity):
        raise InvalidOption(f"{option}.id: '{identity}' is no DUID; give one such as 00:01:00:01:2a:3b.")
    if interface.version == 4 and (identity or not (mac or name)):
        raise InvalidOption(f"{option}: a guest's IPv4 address is known by mac or name; give one of them, and no id.")
    if interface.version == 6 and (mac or not (identity or name)):
        raise InvalidOption(
            f"{option}: a guest's IPv6 address is known by id (a DUID) or name; give one of them, and no mac."
        )
    return {"mac": mac, "id": identity, "name": name, "address": str(address)}


def require_host_name(name: str, *, option: str) -> None:
    """Raise InvalidOption for what is no name of DNS."""
    require_xml_text(name, option=option)
    if len(name) > _MOST_NAME or not _HOST_NAME.match(name):
        raise InvalidOption(
            f"{option}: '{name}' is no name of DNS; use letters, digits and '-', in parts with dots between."
        )


def read_dns_hosts(values: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The option `dns_hosts` as facts tell it; raises InvalidOption."""
    found: list[dict[str, Any]] = []
    for number, value in enumerate(values):
        option = f"dns_hosts[{number}]"
        if not value["names"]:
            raise InvalidOption(f"{option}.names: nothing is given; give the names of {value['address']}.")
        for name in value["names"]:
            require_host_name(name, option=f"{option}.names")
        address = str(_address(value["address"], f"{option}.address"))
        found.append({"address": address, "names": sorted(set(value["names"]))})
    require_once([host["address"] for host in found], "dns_hosts", "address")
    return in_order(found)


def read_forwarders(values: list[str]) -> list[str]:
    """The option `dns_forwarders` as facts tell it; raises InvalidOption."""
    return [str(_address(value, f"dns_forwarders[{number}]")) for number, value in enumerate(values)]


def require_once(values: Iterable[str], option: str, what: str) -> None:
    """Raise InvalidOption when a value is there twice."""
    seen: set[str] = set()
    for value in values:
        if value and value in seen:
            raise InvalidOption(f"{option}: the {what} {value} is declared twice; give each its own.")
        seen.add(value)
