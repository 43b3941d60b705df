# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of a frozen guest, as the host helper runs it: it thaws at the limit, whatever became of who froze it."""

from __future__ import annotations

import os
import sys
from typing import Any

from .._faults import fault_point
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._jobs.state import job_path
from .._jobs.worker import run_job
from .thaw import find_guest, thaw_surely

ARMED = "armed"
RELEASED = "released"
_INTERVAL = 0.05
_TRY_SECONDS = 600.0


def guard(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Wait until the guest was thawed (`released`), its holder died, or the limit passed; thaw it then."""
    clock = Clock()
    domain = find_guest(params["uri"], params["name"], params["uuid"])
    released = job_path(params["job"], RELEASED)
    reason = "stopped"
    armed = clock.now()
    try:
        progress.phase(ARMED)
        fault_point("thaw:armed")

        def over() -> bool:
            return os.path.exists(released) or not holder_lives(params["holder"])

        came = clock.wait_until(over, params["limit"], interval=_INTERVAL)
        reason = "limit" if not came else "released" if os.path.exists(released) else "holder died"
    finally:
        # Also when this process is told to stop.
        count = 0
        if reason != "released":
            progress.phase("thaw")
            count = thaw_surely(domain, clock, timeout=_TRY_SECONDS)
    return {"reason": reason, "file_systems": count, "seconds": round(clock.now() - armed, 3)}


def holder_of(pid: int) -> list[int]:
    """What tells a process from a later one with its number: the number, and when it started (proc(5), field 22)."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stream:
        return [pid, int(stream.read().rpartition(")")[2].split()[19])]


def holder_lives(holder: list[int]) -> bool:
    """Whether the process is still there; an empty holder is one that may go."""
    if not holder:
        return True
    try:
        return holder_of(holder[0]) == holder
    except (FileNotFoundError, ProcessLookupError):
        return False


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], guard)
