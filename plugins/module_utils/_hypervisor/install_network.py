# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A network that serves the files of a network boot, made for the time of one installation: DHCP, TFTP, and a way out by NAT."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterable, Iterator

from .._errors import Conflict, EngineError, NotFound, Unsupported
from .connection import Connection
from .library import calling
from .routes import routes
from .xml import Element, get, put, serialise

# Where free networks are looked for: private addresses (RFC 1918) that neither libvirt nor home routers begin with.
_FROM = ipaddress.IPv4Network("192.168.176.0/20")
_PIDS = "/run/libvirt/network"


def network_xml(name: str, subnet: ipaddress.IPv4Network, *, bridge: str, root: str, file: str) -> str:
    """The description of a network on `subnet` that tells clients to boot `file` of the folder `root`."""
    first, *_rest, last = subnet.hosts()
    network = Element("network")
    put(network, "name", name)
    put(network, "forward/@mode", "nat")
    put(network, "bridge/@name", bridge)
    put(network, "bridge/@stp", "off")
    put(network, "bridge/@delay", "0")
    put(network, "ip/@address", str(first))
    put(network, "ip/@netmask", str(subnet.netmask))
    put(network, "ip/tftp/@root", root)
    put(network, "ip/dhcp/range/@start", str(first + 1))
    put(network, "ip/dhcp/range/@end", str(last))
    put(network, "ip/dhcp/bootp/@file", file)
    return serialise(network)


def serve(connection: Connection, name: str, *, bridge: str, root: str, file: str, wanted: str = "") -> str:
    """Start the network; which addresses it has.

    Raises Conflict when `wanted`, or all of the range where free ones are looked for, is in use.
    """
    remove(connection, name)
    taken = list(_taken(connection))
    said: EngineError | None = None
    for subnet in [ipaddress.IPv4Network(wanted)] if wanted else _free(taken):
        text = network_xml(name, subnet, bridge=bridge, root=root, file=file)
        try:
            with calling(f"starting the network {name}"):
                connection.raw.networkCreateXML(text)
            return str(subnet)
        except EngineError as error:
            # Another one may have taken the addresses just now; libvirt tells that by words only.
            said = error
            if wanted or "in use" not in str(error):
                raise
    raise said or Conflict(f"subnet: no network of {_FROM} is free on this host; name one that is.")


def _free(taken: Iterable[ipaddress.IPv4Network]) -> Iterator[ipaddress.IPv4Network]:
    known = list(taken)
    return (one for one in _FROM.subnets(new_prefix=24) if not any(one.overlaps(other) for other in known))


def _taken(connection: Connection) -> Iterator[ipaddress.IPv4Network]:
    """Networks that the host has routes to, and those of libvirt."""
    yield from (route.network for route in routes())
    for _name, root, _active in connection.described_networks():
        for ip in root.findall("ip"):
            with contextlib.suppress(ValueError):
                mask = get(ip, "@netmask") or get(ip, "@prefix")
                yield ipaddress.IPv4Network(f"{get(ip, '@address')}/{mask}", strict=False)


def server_owner(name: str, folder: str = _PIDS) -> tuple[int, int] | None:
    """User and group of the network's server, which reads the files; None where that can't be seen."""
    try:
        with open(os.path.join(folder, f"{name}.pid"), encoding="ascii") as stream:
            found = os.stat(f"/proc/{int(stream.read())}")
    except (OSError, ValueError):
        return None
    return found.st_uid, found.st_gid


def remove(connection: Connection, name: str) -> None:
    """End the network, if it is there; it isn't kept. A user's own libvirt may have no networks at all."""
    with contextlib.suppress(NotFound, Unsupported), calling(f"ending the network {name}"):
        connection.raw.networkLookupByName(name).destroy()
