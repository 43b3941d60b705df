# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses a virtual network, and the interfaces of running VMs that lost their bridge while it was down."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

from .._errors import InUse, NotFound
from .._hypervisor.connection import Connection
from .._hypervisor.virtual_network import network_called
from .._hypervisor.xml import Element, get
from .operation import Tools
from .vm_network_room import INTERFACES

_MOST_TOLD = 5


def running_users(name: str, connection: Connection) -> list[str]:
    """The running VMs with an interface on the network."""
    return sorted({vm for vm, _tap in _plugged(name, connection)})


def all_users(name: str, connection: Connection) -> list[str]:
    """The VMs with an interface on the network, now or at their next start."""
    found = set(running_users(name, connection))
    for domain in connection.domains():
        # Another task may remove a VM while we look.
        with contextlib.suppress(NotFound):
            if list(_interfaces(domain.xml(), name)):
                found.add(domain.name)
    return sorted(found)


def _plugged(name: str, connection: Connection) -> Iterator[tuple[str, str]]:
    """Running VMs on the network, each with the host's end of an interface."""
    for domain in connection.domains():
        with contextlib.suppress(NotFound):
            if domain.active:
                for interface in _interfaces(domain.xml(inactive=False), name):
                    yield domain.name, get(interface, "target/@dev")


def _interfaces(root: Element, name: str) -> Iterator[Element]:
    return (one for one in root.iterfind("devices/interface") if get(one, "source/@network") == name)


def require_unused(name: str, users: Sequence[str], *, doing: str) -> None:
    """Raise InUse when somebody uses it."""
    if users:
        raise InUse(
            f"The network {name} can't be {doing}: {some(users)} on it; remove them, or their interfaces, first."
        )


def some(users: Sequence[str]) -> str:
    """Names for a sentence: the VM a is, the VMs a and b are."""
    told = [*users[:_MOST_TOLD], *([f"{len(users) - _MOST_TOLD} more"] if len(users) > _MOST_TOLD else [])]
    if len(told) == 1:
        return f"the VM {told[0]} is"
    return f"the VMs {', '.join(told[:-1])} and {told[-1]} are"


def unplugged(name: str, connection: Connection) -> list[str]:
    """Running VMs on the network, an interface of which is on no bridge: a run was interrupted that had restarted it."""
    loose = {tap for tap in os.listdir(INTERFACES) if _is_loose(tap)}
    return sorted({vm for vm, tap in _plugged(name, connection) if tap in loose}) if loose else []


def _is_loose(tap: str) -> bool:
    return os.path.exists(f"{INTERFACES}/{tap}/tun_flags") and not os.path.exists(f"{INTERFACES}/{tap}/master")


def plug_in_again(name: str, connection: Connection, tools: Tools) -> None:
    """Put interfaces of running VMs back on the bridge of the network that was just started."""
    network = network_called(connection, name)
    bridge = get(network.xml(inactive=False), "bridge/@name") if network else ""
    if not os.path.isdir(f"{INTERFACES}/{bridge}/brif"):
        return
    for _vm, tap in _plugged(name, connection):
        if tap and os.path.exists(f"{INTERFACES}/{tap}") and not os.path.exists(f"{INTERFACES}/{bridge}/brif/{tap}"):
            tools.commands.output(["ip", "link", "set", "dev", tap, "master", bridge])
