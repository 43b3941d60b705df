# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block jobs on images that nobody else has open: started, followed with their real progress, ended, their errors as ours."""

from __future__ import annotations

from typing import Any, Callable

from .._errors import EngineError
from .._qmp.client import refusal
from .block_graph import layer
from .storage_daemon import NAME, StorageDaemon

# Bytes that are done, bytes in all; the second may grow while a job runs.
Report = Callable[[int, int], None]
_JOB = "work"
# Seconds between two looks: a twentieth of the time that the job has taken, so that its end is seen soon whatever its length.
_INTERVAL = 0.01
_SLOWER = 1.05
_LONGEST_INTERVAL = 0.5
READY, PENDING, CONCLUDED, NULL = "ready", "pending", "concluded", "null"


def copy_up(daemon: StorageDaemon, *, base: int | None, speed: int | None, report: Report) -> None:
    """Copy into the top all that the layers between it and `base` (None: all below) hold; the header stays as it is.

    block-stream would change the header at its end, while tables that it wrote are still in memory only; a daemon killed
    then leaves an image without them. So the job is cancelled when all is copied, and the header is for a later step.
    """
    below = {} if base is None else {"base-node": layer(base)}
    _start(daemon, "block-stream", speed, {"device": layer(0), "on-error": "report", "auto-finalize": False, **below})
    _follow(daemon, report, until=PENDING)
    daemon.execute("job-cancel", {"id": _JOB})
    _dismiss(daemon, cancelled=True)


def commit_down(daemon: StorageDaemon, *, base: int, speed: int | None, report: Report) -> None:
    """Write into `base` all that the layers above it hold."""
    _start(daemon, "block-commit", speed, {"device": layer(0), "base-node": layer(base), "on-error": "report"})
    _follow(daemon, report, until=READY)
    daemon.execute("job-complete", {"id": _JOB})
    _dismiss(daemon)


def mirror(daemon: StorageDaemon, *, target: str, sync: str, speed: int | None, report: Report) -> None:
    """Copy the top into the node `target`; `sync` is full or top."""
    _start(daemon, "blockdev-mirror", speed, {"device": layer(0), "target": target, "sync": sync})
    _follow(daemon, report, until=READY)
    daemon.execute("job-complete", {"id": _JOB})
    _dismiss(daemon)


def backup(
    daemon: StorageDaemon, *, target: str, sync: str, speed: int | None, report: Report, bitmap: str | None = None
) -> None:
    """Copy the top into the node `target`; `sync` is full, top, or bitmap with the `bitmap` of the top that says what."""
    which = {"bitmap": bitmap, "bitmap-mode": "never"} if bitmap else {}
    _start(daemon, "blockdev-backup", speed, {"device": layer(0), "target": target, "sync": sync, **which})
    _follow(daemon, report, until=CONCLUDED)
    _dismiss(daemon)


def _start(daemon: StorageDaemon, command: str, speed: int | None, arguments: dict[str, Any]) -> None:
    limit = {"speed": speed} if speed else {}
    daemon.execute(command, {"job-id": _JOB, "auto-dismiss": False, **limit, **arguments})


def _follow(daemon: StorageDaemon, report: Report, *, until: str) -> None:
    """Report progress until the job has come so far; raises what it failed with."""
    pause = _INTERVAL
    while True:
        job = _job(daemon)
        report(job["current-progress"], job["total-progress"])
        if job["status"] == until:
            return
        if job["status"] in (CONCLUDED, NULL):
            _raise(job)
        daemon.sleep(pause)
        pause = min(pause * _SLOWER, _LONGEST_INTERVAL)


def _dismiss(daemon: StorageDaemon, *, cancelled: bool = False) -> None:
    """Wait for the end of the job and forget it; raises what it failed with."""
    while (job := _job(daemon))["status"] != CONCLUDED:
        daemon.sleep(_INTERVAL)
    daemon.execute("job-dismiss", {"id": _JOB})
    if job.get("error") and not cancelled:
        _raise(job)


def _job(daemon: StorageDaemon) -> dict[str, Any]:
    found: list[dict[str, Any]] = [job for job in daemon.execute("query-jobs") if job["id"] == _JOB]
    if not found:
        raise EngineError("qemu-storage-daemon lost its block job; run the task again.")
    return found[0]


def _raise(job: dict[str, Any]) -> None:
    raise refusal(NAME, f"the block job {job['type']}", str(job.get("error") or "it ended before it was done"))
