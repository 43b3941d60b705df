# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How slow a server may be."""

from __future__ import annotations

from .._errors import InvalidOption
from .stream import Broken, Clock

# Fewer bytes than this in a whole idle_timeout are silence: a server may hold us with one byte a minute.
_LEAST_BYTES = 1024
_DAY = 86400


def idle_timeout_of(seconds: int) -> float:
    """The task's `idle_timeout`; raises InvalidOption for one that is too short to answer in, or longer than anybody waits."""
    if not 1 <= seconds <= _DAY:
        raise InvalidOption(f"idle_timeout: {seconds} seconds can't be used; give 1 to {_DAY} (a day).")
    return float(seconds)


class SilenceWatch:
    """Tells a slow server from one that holds us with a byte from time to time, which no socket's time limit sees."""

    def __init__(self, clock: Clock, seconds: float, shown: str) -> None:
        self._clock = clock
        self._seconds = seconds
        self._shown = shown
        self._since = clock.now()
        self._came = 0
        self.lively = False

    def passed(self, count: int) -> None:
        """`count` bytes came; raises Broken when that was too little for too long."""
        self._came += count
        now = self._clock.now()
        if self._came >= _LEAST_BYTES:
            self._since, self._came, self.lively = now, 0, True
        elif now - self._since > self._seconds:
            raise Broken(f"{self._shown}: almost nothing came for {self._seconds:g} seconds (idle_timeout).")
