# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""MAC addresses of a VM that another one of the host has: allowed, since only one of them may run, but told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .._errors import NotFound
from .._hypervisor.connection import Connection
from .._hypervisor.xml import Element, get
from .operation import Tools


def mac_warnings(root: Element, vm: str, connection: Connection, tools: Tools) -> tuple[str, ...]:
    """A warning for each address in the description `root` that another VM has too."""
    macs = sorted(_macs(root))
    if not macs:
        return ()
    owners = _owners(connection, tools)
    found = ((mac, sorted(owners.get(mac, set()) - {vm})) for mac in macs)
    return tuple(
        f"networks: {mac}, an address of the VM {vm}, is one of {', '.join(others)} too; on one network they disturb each other."
        for mac, others in found
        if others
    )


def _macs(root: Element) -> Iterator[str]:
    return (mac.lower() for mac in (get(one, "mac/@address") for one in root.iterfind("devices/interface")) if mac)


def _owners(connection: Connection, tools: Tools) -> dict[str, set[str]]:
    """The VMs that have an address; looked at once for all VMs of a task."""
    known = tools.forecast.setdefault(f"macs:{connection.uri}", {})
    if "owners" not in known:
        known["owners"] = {}
        for domain in connection.domains():
            # Another task may remove a VM while we look.
            with contextlib.suppress(NotFound):
                for mac in _macs(domain.xml()):
                    known["owners"].setdefault(mac, set()).add(domain.name)
    owners: dict[str, set[str]] = known["owners"]
    return owners
