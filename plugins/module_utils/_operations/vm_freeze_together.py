# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VMs of one task that are frozen at one moment, all or none."""

from __future__ import annotations

import threading
from typing import Callable

from .._errors import Conflict, InvalidOption
from .operation import Tools

# One thread each, since all wait for each other.
MOST = 64
_WAIT_SECONDS = 60.0


class Together:
    """Counts who takes part; each in a thread of its own."""

    def __init__(self) -> None:
        self._parties: list[str] = []
        self._lock = threading.Lock()
        self._barrier: threading.Barrier | None = None

    @classmethod
    def of(cls, tools: Tools) -> Together:
        """The one of this run."""
        return tools.forecast.setdefault("freeze", {}).setdefault("together", cls())  # type: ignore[no-any-return]

    def expect(self, name: str) -> None:
        """One more VM will be frozen."""
        self._parties.append(name)
        if len(self._parties) > MOST:
            raise InvalidOption(f"vms: no more than {MOST} VMs can be frozen by one task; give fewer.")

    def stage(self, act: Callable[[], None], *, undo: Callable[[], None]) -> None:
        """Do `act` and wait until the others have done theirs; when one of them fails, all `undo` and raise."""
        try:
            act()
        except BaseException:
            self._meeting().abort()
            undo()
            raise
        try:
            self._meeting().wait(_WAIT_SECONDS)
        except threading.BrokenBarrierError:
            undo()
            raise Conflict("Another VM of this task could not be frozen, so this one was thawed again.") from None

    def _meeting(self) -> threading.Barrier:
        with self._lock:
            if self._barrier is None:
                self._barrier = threading.Barrier(len(self._parties))
            return self._barrier
