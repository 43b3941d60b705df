# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes that several threads have done, told to a job's progress."""

from __future__ import annotations

import threading

from .._jobs.progress import Progress


class Counter:
    """Counts the bytes of one phase after the other; `done` of this one."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self.done = 0

    def phase(self, name: str, total: int) -> None:
        """A new phase begins."""
        self.done = 0
        self._progress.phase(name, total=total)

    def add(self, count: int) -> None:
        """`count` bytes more."""
        with self._lock:
            self.done += count
            self._progress.update(self.done)
