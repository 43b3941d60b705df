# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that disks are made from, and files that are replaced: never the same file at the same moment.

Who makes a disk from a file keeps it, together with all others who do; who replaces one has it alone, and looks once more who uses it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from .._errors import InUse
from .._files import real_path
from .._jobs.clock import Clock
from .._locks import wait_for_lock

_SECONDS = 60.0


class Bases:
    """The files that a task makes disks from, kept until `close`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._kept: dict[str, int] = {}
        self._refused: dict[str, InUse] = {}

    def keep(self, path: str) -> bool:
        """Let nobody replace the file; whether it wasn't kept before, so that it may be another one than a moment ago.

        Raises InUse when it is being replaced.
        """
        real = real_path(path)
        with self._mutex:
            if real in self._kept:
                return False
            if real in self._refused:
                # Waited for already: the other VMs of the task needn't.
                raise self._refused[real]
            try:
                self._kept[real] = _taken(real, self._clock, shared=True, why="it is being replaced by another task")
            except InUse as error:
                self._refused[real] = error
                raise
            return True

    def close(self) -> None:
        """The disks are made, and whoever looks sees them."""
        with self._mutex:
            for handle in self._kept.values():
                os.close(handle)
            self._kept.clear()
            self._refused.clear()


@contextlib.contextmanager
def alone(path: str, clock: Clock) -> Iterator[None]:
    """Held while the file is replaced; raises InUse when somebody makes disks from it."""
    handle = _taken(real_path(path), clock, shared=False, why="disks are being made from it")
    try:
        yield
    finally:
        os.close(handle)


def _taken(real: str, clock: Clock, *, shared: bool, why: str) -> int:
    handle = wait_for_lock(f"base:{real}", timeout=_SECONDS, wait=clock.wait_until, shared=shared)
    if handle is None:
        raise InUse(f"{real} is in use: {why}; run the task again when that has ended.")
    return handle
