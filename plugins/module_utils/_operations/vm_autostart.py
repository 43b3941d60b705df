# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a VM starts with its host."""

from __future__ import annotations

from .._errors import NotFound
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._plan import Step
from .vm_request import VmRequest


def plan_autostart(request: VmRequest, domain: Domain | None, connection: Connection) -> tuple[Step, ...]:
    """The step that sets it, when it is declared and differs."""
    wanted = request.plain("autostart")
    if wanted is None or wanted == (domain.autostart if domain else False):
        return ()

    def run() -> None:
        found = connection.domain(request.name)
        if found is None:
            raise NotFound(f"The VM {request.name} was removed by somebody else while this task worked on it.")
        found.set_autostart(wanted)

    title = "start with the host" if wanted else "don't start with the host"
    return (Step(f"{title}: {request.name}", run),)
