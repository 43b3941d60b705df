# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs of a QEMU process (qapi/job.json): started or joined, followed to their end within a time limit, forgotten.

A job's id says what it works on, and it stays in QEMU until it is dismissed. So it is a journal: the run after one that was
killed finds it. A merge is joined, and what belongs to its end is done then; what else was left is forgotten.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any, Callable

from .._errors import EngineError, TimedOut
from .qmp_process import QemuProcess

_PREFIX = "imageops"
_CONCLUDED, _READY = "concluded", "ready"
_LEAST_PAUSE, _MOST_PAUSE, _SLOWER = 0.01, 0.5, 1.3


def job_id(kind: str, about: str) -> str:
    """The id of the job of that kind about a file or name; QEMU wants it short."""
    return f"{_PREFIX}-{kind}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"


def has_job(process: QemuProcess, identity: str) -> bool:
    """Whether QEMU still knows the job."""
    return _find(process, identity) is not None


def run_job(
    process: QemuProcess,
    command: str,
    arguments: dict[str, Any],
    *,
    identity: str,
    timeout: float,
    finish: Callable[[], None] | None = None,
) -> None:
    """Start the job and wait for its end; raises what it failed with, TimedOut.

    With `finish`, which does what belongs to its end, a job of that id is joined; without, it is waited for and forgotten.
    """
    deadline = time.monotonic() + timeout
    if has_job(process, identity) and not finish:
        _follow(process, identity, deadline=deadline, timeout=timeout)
        process.execute("job-dismiss", {"id": identity})
    if not has_job(process, identity):
        process.execute(command, {"job-id": identity, **arguments}, timeout=timeout)
    job = _follow(process, identity, deadline=deadline, timeout=timeout)
    if finish and not job.get("error"):
        finish()
    process.execute("job-dismiss", {"id": identity})
    if job.get("error"):
        raise EngineError(f"QEMU at {process.path} failed at the job {job['type']}: {str(job['error']).rstrip('.')}.")


def _follow(process: QemuProcess, identity: str, *, deadline: float, timeout: float) -> dict[str, Any]:
    pause, told = _LEAST_PAUSE, False
    while True:
        # While the memory is saved or loaded QEMU answers nobody.
        job = _find(process, identity, timeout=max(deadline - time.monotonic(), 1.0))
        if job is None:
            raise EngineError(f"QEMU at {process.path} lost the job {identity}; run the task again.")
        if job["status"] == _CONCLUDED:
            return job
        if job["status"] == _READY and not told:
            process.execute("job-complete", {"id": identity})
            told = True
        if time.monotonic() > deadline:
            raise TimedOut(
                f"QEMU at {process.path} did not end the job {job['type']} within {timeout:g} seconds; it goes on, and the next run "
                f"of the task joins it. Give it more time (timeout)."
            )
        time.sleep(pause)
        pause = min(pause * _SLOWER, _MOST_PAUSE)


def _find(process: QemuProcess, identity: str, *, timeout: float | None = None) -> dict[str, Any] | None:
    jobs = process.execute("query-jobs", timeout=timeout)
    return next((job for job in jobs if job["id"] == identity), None)
