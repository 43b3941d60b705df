# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that only moves when somebody sleeps."""

from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock


class FakeClock(Clock):
    """Starts at 1000 seconds; `slept` are the pauses that were asked for."""

    def __init__(self) -> None:
        self.moment = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.moment

    def time(self) -> float:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += seconds
