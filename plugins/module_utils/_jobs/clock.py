# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Time: the one place that reads it and waits for it, so that tests can bring their own."""

from __future__ import annotations

import time
from typing import Callable

_LEAST_PAUSE = 0.005
_PART = 50


class Clock:
    """Monotonic seconds, wall-clock seconds, sleep."""

    def now(self) -> float:
        """Seconds since some start; never goes back."""
        return time.monotonic()

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def wait_until(self, predicate: Callable[[], bool], timeout: float, *, interval: float = 0.1) -> bool:
        """Poll `predicate` until it is true; False when `timeout` seconds (0: one look) have passed first.

        The pause is a fiftieth of the time waited so far, from 5 ms to `interval` seconds: what is quick is seen at once,
        and what takes long costs little.
        """
        began = self.now()
        while not predicate():
            waited = self.now() - began
            if waited >= timeout:
                return False
            self.sleep(min(max(_LEAST_PAUSE, waited / _PART), interval, timeout - waited))
        return True
