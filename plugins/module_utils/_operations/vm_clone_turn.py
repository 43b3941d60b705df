# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Items of a list are made side by side, so no VM is started by one and cloned by another."""

from __future__ import annotations

from .._errors import InvalidOption
from .._hypervisor.domain import Domain
from .operation import Tools


def claim_turn(domain: Domain, tools: Tools, *, starts: bool) -> None:
    """Note that an item starts the VM, or clones it; raises InvalidOption when another one of the list does the other."""
    known = tools.forecast.setdefault(f"turn:{domain.uuid}", {"starts": starts})
    if known["starts"] != starts:
        raise InvalidOption(
            f"source: {domain.name} is started and cloned by the same task, which would copy it while it begins to write; clone it "
            "in a task before or behind."
        )
