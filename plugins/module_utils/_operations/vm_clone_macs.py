# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The MAC addresses that a task gives a clone."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from .._errors import Conflict, InvalidOption, NotFound
from .._hypervisor.connection import Connection
from .._hypervisor.xml import get
from .mac_address import MAC
from .operation import Tools
from .vm_clone_identity import interfaces
from .vm_clone_source import Source
from .vm_request_checks import claim_macs


def clone_macs(params: dict[str, Any], source: Source, connection: Connection, tools: Tools) -> list[str]:
    """The clone's MACs; an empty string is one that is made up when the clone is defined."""
    given = given_macs(params)
    wrong = [mac for mac in given if not MAC.match(mac)]
    if wrong:
        raise InvalidOption(
            f"mac: '{wrong[0]}' is no unicast MAC address; give six pairs of hex digits, such as 52:54:00:12:34:56."
        )
    twice = sorted({mac for mac in given if given.count(mac) > 1})
    if twice:
        raise InvalidOption(f"mac: {twice[0]} is given twice; each network interface needs an address of its own.")
    found = interfaces(source.root)
    if len(given) > len(found):
        raise InvalidOption(
            f"mac: {len(given)} addresses are given, and {source.name} has {len(found)} network interfaces."
        )
    if given:
        claim_macs(given, params["name"], tools.forecast)
        _require_free_macs(given, connection)
    return given + [""] * (len(found) - len(given))


def given_macs(params: dict[str, Any]) -> list[str]:
    """The addresses of the task, as libvirt writes them."""
    return [mac.lower().replace("-", ":") for mac in params["mac"] or ()]


def kept_macs(params: dict[str, Any], found: Sequence[str]) -> tuple[str, ...]:
    """A warning when a clone that is there, with the addresses `found`, hasn't those of the task: it is never changed."""
    given = given_macs(params)
    if given == list(found[: len(given)]):
        return ()
    kept = ", ".join(found) or "no network interface"
    return (f"mac: {params['name']} is there with {kept} and keeps that; give its addresses, or remove it first.",)


def _require_free_macs(given: list[str], connection: Connection) -> None:
    for domain in connection.domains():
        # Another task may remove a VM while we look; then its addresses are free.
        with contextlib.suppress(NotFound):
            taken = {get(interface, "mac/@address").lower() for interface in interfaces(domain.xml())}
            for mac in sorted(taken.intersection(given)):
                raise Conflict(f"mac: {mac} is an address of the VM {domain.name}; give another one.")
