# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that disks are made from, and files that are replaced, changed or removed: never the same file at the same moment.

Who makes a disk from a file keeps it, together with all others who do; who replaces one has it alone, and looks once more who uses it.
The lock lives as long as the process that has it, so waiting for it is waiting for that.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import Counter
from collections.abc import Iterator

from .._errors import InUse
from .._files import real_path
from .._jobs.clock import Clock
from .._locks import LAST, holders, is_ours, wait_for_lock

# A file is replaced in seconds. Who keeps other files meanwhile, for which somebody may wait who has this one, gives way first.
_KEEP_SECONDS = 60.0
# What a task may do while it keeps a base ends with its slowest image, and for that it waits as long (catalog_base). A task that is
# killed keeps nothing.
_ALONE_SECONDS = 3600.0
_REMOVED_HERE = "{} is in use: another item of this task removes it; do that in a task of its own."


class Bases:
    """The files that a task makes disks from, kept until `close`; and those that it removes, which nobody keeps until then."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._kept: dict[str, int] = {}
        self._going: dict[str, int] = {}
        self._times: Counter[str] = Counter()
        self._refused: dict[str, InUse] = {}

    def keep(self, path: str) -> bool:
        """Let nobody replace the file; whether it wasn't kept before, so that it may be another one than a moment ago.

        Raises InUse when it is being replaced.
        """
        real = real_path(path)
        with self._mutex:
            if real in self._kept:
                self._times[real] += 1
                return False
            if real in self._going:
                raise InUse(_REMOVED_HERE.format(real))
            if real in self._refused:
                # Waited for already: the other VMs of the task needn't.
                raise self._refused[real]
            try:
                self._kept[real] = _shared(real, self._clock)
            except InUse as error:
                self._refused[real] = error
                raise
            self._times[real] = 1
            return True

    def leave(self, path: str) -> None:
        """Take a `keep` back: nothing is made from the file on its behalf."""
        real = real_path(path)
        with self._mutex:
            self._times[real] -= 1
            if self._times[real] == 0:
                os.close(self._kept.pop(real))

    def remove(self, path: str) -> None:
        """Let nobody make disks from a file that goes; before the look at who uses it. Raises InUse when somebody does just that."""
        real = real_path(path)
        with self._mutex:
            if real in self._kept:
                raise InUse(
                    f"{real} is in use: another item of this task makes a disk from it; remove it in a task of its own."
                )
            if real not in self._going:
                # Who has it may wait for a file that this task keeps.
                self._going[real] = _alone(real, self._clock, _KEEP_SECONDS)

    def require_not_kept(self, path: str) -> None:
        """Raise InUse when this task itself keeps the file that it is to replace, and would wait for its own end."""
        with self._mutex:
            if real_path(path) in self._kept:
                raise InUse(
                    f"{path} is in use: this task makes disks from the file that is there, which it would replace; "
                    f"do that in a task of its own, before this one."
                )

    def close(self) -> None:
        """The disks are made, and whoever looks sees them."""
        with self._mutex:
            for handle in (*self._kept.values(), *self._going.values()):
                os.close(handle)
            self._kept.clear()
            self._going.clear()
            self._times.clear()
            self._refused.clear()


def base_lock(path: str) -> str:
    """The lock of a file that disks are made from; alone for who removes or replaces it."""
    return f"{LAST}{real_path(path)}"


@contextlib.contextmanager
def alone(path: str, clock: Clock, *, seconds: float | None = None) -> Iterator[None]:
    """Held while the file is replaced, changed or removed; raises InUse when others make disks from it for longer than that."""
    handle = _alone(path, clock, _ALONE_SECONDS if seconds is None else seconds)
    try:
        yield
    finally:
        os.close(handle)


def _alone(path: str, clock: Clock, limit: float) -> int:
    handle = wait_for_lock(base_lock(path), timeout=limit, wait=clock.wait_until)
    if handle is None:
        raise InUse(
            f"{real_path(path)} is in use: disks are being made from it by another task ({holders(base_lock(path))}) for more than "
            f"{limit:g} seconds; run the task again when that one has ended, or end it if it hangs."
        )
    return handle


def _shared(real: str, clock: Clock) -> int:
    if is_ours(base_lock(real)):
        raise InUse(_REMOVED_HERE.format(real))
    handle = wait_for_lock(base_lock(real), timeout=_KEEP_SECONDS, wait=clock.wait_until, shared=True)
    if handle is None:
        raise InUse(
            f"{real} is in use: it is being replaced by another task, or changed ({holders(base_lock(real))}), for more than "
            f"{_KEEP_SECONDS:g} seconds; run the task again when that one has ended."
        )
    return handle
