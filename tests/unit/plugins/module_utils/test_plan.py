# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan, Step, Wait


def nothing() -> None:
    return None


def test_only_steps_are_changes() -> None:
    plan = Plan("x", {}, {}, dict, waits=(Wait("w", dict),), upkeep=(Step("u", nothing),))
    assert not plan.changed
    assert Plan("x", {}, {}, dict, steps=(Step("s", nothing),)).changed
