# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work of our writers that keeps to a bandwidth and tells how far it is."""

from __future__ import annotations

import time

from .._faults import fault_point
from .._formats.compress_pool import Report
from .._jobs.progress import Progress


def paced(progress: Progress, limit: int | None, *, fault: str) -> Report:
    """Tells the progress, and holds the work back to `limit` bytes a second; `fault` is its fault point."""
    began, moved = time.monotonic(), 0

    def report(end: int, read: int) -> None:
        nonlocal moved
        moved += read
        progress.update(end)
        fault_point(fault)
        if limit:
            time.sleep(max(0.0, moved / limit - (time.monotonic() - began)))

    return report
