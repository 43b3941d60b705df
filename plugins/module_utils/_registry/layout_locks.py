# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of a catalog in a directory: flock(2) on files in it, so that every process that sees the directory sees them."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from .._errors import InUse
from .._jobs.clock import Clock

# Held shared while something is published, alone while something is pruned; and for the moment in which index.json is changed.
LOCK = ".imageops.lock"
INDEX_LOCK = ".imageops-index.lock"
_SECONDS = 600.0


class LayoutLock:
    """The lock `name` of the layout at `path`, which must be there."""

    def __init__(self, path: str, name: str, clock: Clock, *, timeout: float = _SECONDS) -> None:
        self._path = os.path.join(path, name)
        self._layout = path
        self._clock = clock
        self._timeout = timeout

    def shared(self) -> contextlib.AbstractContextManager[None]:
        """Held with others."""
        return self._held(fcntl.LOCK_SH)

    def exclusive(self) -> contextlib.AbstractContextManager[None]:
        """Held alone."""
        return self._held(fcntl.LOCK_EX)

    @contextlib.contextmanager
    def _held(self, how: int) -> Iterator[None]:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if not self._clock.wait_until(lambda: _taken(handle, how), self._timeout):
                raise InUse(
                    f"dir:{self._layout} is being published to or pruned by another task, and was not free within {self._timeout:g} "
                    f"seconds; run the task again when that one has ended."
                )
            yield
        finally:
            os.close(handle)


def _taken(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
