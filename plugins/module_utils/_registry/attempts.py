# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another try after what may pass: with growing pauses, each a little different, so that many hosts don't come back at once."""

from __future__ import annotations

import random
from typing import Callable, TypeVar

from .._jobs.clock import Clock
from .._transfer.stream import Broken

# Failures one after the other without a byte between them.
ATTEMPTS = 6
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
# A server that wants more patience is better asked by the next run.
_MOST_PATIENCE = 120.0

_Result = TypeVar("_Result")


class Attempts:
    """Counts failures. After each a pause; after too many the failure is raised."""

    def __init__(self, clock: Clock, most: int = ATTEMPTS) -> None:
        self._clock = clock
        self._most = most
        self._failures = 0

    def progress(self) -> None:
        """Something came: earlier failures don't count any more."""
        self._failures = 0

    def failed(self, error: Broken) -> None:
        """Pause; raises Broken when it was tried often enough."""
        self._failures += 1
        if self._failures >= self._most:
            said = f"{error} It was tried {self._most} times; run the task again to go on."
            raise Broken(said, **error.details) from None
        pause = min(_FIRST_PAUSE * 2.0 ** (self._failures - 1), _LONGEST_PAUSE)
        asked = min(float(error.details.get("retry_after") or 0), _MOST_PATIENCE)
        self._clock.sleep(max(asked, pause * random.uniform(0.75, 1.25)))


def repeated(act: Callable[[], _Result], attempts: Attempts) -> _Result:
    """What `act` gives, tried again while it raises Broken."""
    while True:
        try:
            return act()
        except Broken as error:
            attempts.failed(error)
