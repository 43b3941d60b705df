# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs of a host, whoever started them, and how each stands."""

from __future__ import annotations

import os
from typing import Any

from .._files import state_top
from .clock import Clock
from .lease import lease_of
from .running import is_running
from .state import JobState, read_state

DIED = "died"


def job_ids() -> list[str]:
    """The ids of all jobs that this host knows, sorted."""
    try:
        return sorted(os.listdir(os.path.join(state_top(), "jobs")))
    except (FileNotFoundError, NotADirectoryError):
        return []


def works(state: JobState, clock: Clock) -> bool:
    """Whether the job is at work, or is being started."""
    return is_running(state, clock)


def status_of(state: JobState, clock: Clock) -> str:
    """The status of a job; one that said nothing of its end and doesn't work any more died."""
    return state.status if state.ended or works(state, clock) else DIED


def job_listing(state: JobState, status: str) -> dict[str, Any]:
    """What is told of a job."""
    lease = lease_of(state.id)
    live = not state.ended and status != DIED
    return {
        "id": state.id,
        "kind": state.kind,
        "target": state.target,
        "status": status,
        "running": live,
        "phase": state.phase,
        "percent": state.percent,
        "bytes": state.done,
        "total": state.total,
        "rate": state.rate if live else None,
        "eta": state.eta if live else None,
        "started": state.started,
        "updated": state.updated,
        "launcher": state.launcher,
        "pid": state.pid if live else None,
        "on_interrupt": lease.on_interrupt,
        "lease_timeout": lease.timeout,
        "reason": state.reason,
        "error": state.error.get("message", ""),
        "leaves": [path for path in state.leaves if os.path.lexists(path)],
        "phases": state.phases,
    }


def find_job(identifier: str) -> JobState | None:
    """The state of the job with this id; None when there is none, or its name is no id of ours."""
    return read_state(identifier) if identifier == os.path.basename(identifier) else None
