# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thawing a guest for certain: again and again until its agent has done it, or there is no guest any more."""

from __future__ import annotations

from .._errors import ImageOpsError, NotFound, TimedOut
from .._hypervisor import agent
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._jobs.clock import Clock

_INTERVAL = 0.5


def find_guest(uri: str, name: str, uuid: str) -> Domain:
    """The VM, by a connection of its own; raises NotFound when it is gone, or another one has its name."""
    domain = Connection.open(uri).domain(name)
    if domain is None or domain.uuid != uuid:
        raise NotFound(f"The VM {name} (UUID {uuid}) was removed.")
    return domain


def thaw_surely(domain: Domain, clock: Clock, *, timeout: float) -> int:
    """Thaw, with as many attempts as `timeout` seconds allow; how many file systems were frozen.

    libvirt may be restarted meanwhile, and the agent may still be freezing. A VM that was stopped needs no thawing.
    """
    uri, last, count = domain.uri, "", 0

    def attempt() -> bool:
        nonlocal domain, last, count
        try:
            if domain.state == "running":
                count = agent.thaw(domain)
            return True
        except NotFound:
            return True
        except ImageOpsError as error:
            last = str(error)
        try:
            domain = find_guest(uri, domain.name, domain.uuid)
        except NotFound:
            return True
        except ImageOpsError as error:
            last = str(error)
        return False

    if not clock.wait_until(attempt, timeout, interval=_INTERVAL):
        raise TimedOut(f"The file systems of {domain.name} could not be thawed within {timeout:g} seconds: {last}")
    return count
