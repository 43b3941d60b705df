# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job ended: its facts for the task's result, or its error."""

from __future__ import annotations

import os
import stat
from typing import Any

from .. import _errors
from .._errors import Conflict, EngineError, ImageOpsError, TimedOut
from .lease import CANCEL, lease_of
from .state import CANCELLED, DONE, JobState, log_tail, read_state


class JobDied(EngineError):
    """A job ended without saying how: it was killed, or its host went down."""


def require_request(state: JobState | None, request: str) -> JobState | None:
    """The state of the job that was asked for `request`; raises Conflict for one of another job that took its place.

    `request` is a digest, or how it begins.
    """
    if state is None or state.request.startswith(request):
        return state
    raise Conflict(
        f"Another task has the job {state.id} do something else with {state.target}, so what it did for this task isn't known any "
        f"more; run the task again.",
        job=state.id,
    )


def ended_state(state: JobState | None, identifier: str, target: str) -> JobState:
    """The state of a job that is done; raises its error when it isn't."""
    if state is not None and state.status == DONE:
        return state
    if state is not None and state.error:
        raise error_of(state)
    stopped = state is not None and state.status == CANCELLED
    kind, how = (EngineError, "was stopped") if stopped else (JobDied, "died")
    why = f" ({state.reason})" if state is not None and state.reason else ""
    raise kind(
        f"The job {identifier} {how}{why} before {target} was finished; {_left(target)}, and the next run "
        f"finishes it. {log_tail(identifier)}".strip(),
        job=identifier,
    )


def _left(target: str) -> str:
    """What an unfinished job leaves: names are given to what is whole only, devices have no second name."""
    if not os.path.isabs(target):
        return "what has its name already is whole"
    device = os.path.exists(target) and stat.S_ISBLK(os.stat(target).st_mode)
    return "what is on the device may be incomplete" if device else "it is the old one or the new one"


def error_of(state: JobState) -> ImageOpsError:
    """The error that ended a job, as the class it was raised as."""
    kind = getattr(_errors, str(state.error.get("type")), EngineError)
    return kind(str(state.error.get("message")), **{**state.error.get("details", {}), "job": state.id})


def timed_out(identifier: str, seconds: float) -> TimedOut:
    """The error for a wait that was given up."""
    state, lease = read_state(identifier), lease_of(identifier)
    goes_on = "it goes on, and the next run of this task joins it"
    if lease.on_interrupt == CANCEL:
        goes_on = (
            f"it stops by itself and leaves images as they were (but for a block device and the target of a commit, which the next run "
            f"finishes), unless the task is run again within {lease.timeout} seconds and joins it"
        )
    done = state.percent if state else 0
    return TimedOut(
        f"The job {identifier} has not ended within {seconds:g} seconds ({done:g} % done); {goes_on}.", job=identifier
    )


def job_facts(state: JobState) -> dict[str, Any]:
    """What a task's result tells of a job that is done: bytes and rate are those of the phase that moved most."""
    phases = sorted(state.phases, key=lambda phase: phase["bytes"])
    most = phases[-1] if phases else {"bytes": 0, "rate": None}
    return {
        "id": state.id,
        "launcher": state.launcher,
        "bytes": most["bytes"],
        "seconds": round(state.updated - state.started, 3),
        "rate": most["rate"],
        "phases": state.phases,
        **state.result,
    }
