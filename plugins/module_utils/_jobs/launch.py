# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a job, joining it, waiting for its end."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Optional

from .. import _errors
from .._commands import Commands
from .._errors import Conflict, EngineError, ImageOpsError, TimedOut
from .._locks import try_lock
from .clock import Clock
from .helper import helper_program
from .state import CANCELLED, DONE, STARTING, JobState, digest, job_dir, job_id, log_tail, read_state, write_request, write_state

_START_SECONDS = 30.0
_NO_LIMIT = 10 * 365 * 86400.0


class JobDied(EngineError):
    """A job ended without saying how: it was killed, or its host went down."""


@dataclass(frozen=True)
class Job:
    """A piece of long work: `kind` names the work function, `target` the object it writes, `params` what it gets.

    `entry` is the module whose main() the helper runs. Two jobs with equal params are the same work.
    """

    kind: str
    target: str
    params: dict[str, Any]
    entry: str

    @property
    def id(self) -> str:
        return job_id(self.kind, self.target)

    @property
    def lock(self) -> str:
        return write_lock(self.target)


def write_lock(target: str) -> str:
    """The lock that a job and its engines hold while they write `target`."""
    return f"write:{target}"


def running(job: Job) -> Optional[JobState]:
    """The state of the job that writes the same target now, whatever its params; None when none runs."""
    state = read_state(job.id)
    if state is None or state.ended:
        return None
    handle = try_lock(job.lock)
    if handle is not None:
        os.close(handle)
        return None
    return read_state(job.id)


def join(job: Job, clock: Clock, *, timeout: Optional[float] = None) -> bool:
    """Wait for the end of `job` when it runs already; False when it doesn't.

    Raises Conflict when a job with other params writes the same target, and the job's own error when it fails.
    """
    state = running(job)
    if state is None or state.ended:
        return False
    if state.request != digest(job.params):
        raise Conflict(
            f"{job.target} is being written by the job {state.id} with other options ({state.percent:g} % of phase "
            f"'{state.phase}' done); run the task again when it has ended, or stop it with "
            f"'systemctl stop imageops-job-{state.id}'.",
            job=state.id,
        )
    try:
        finish(job, clock, timeout=timeout)
    except JobDied:
        return False
    return True


def start(job: Job, clock: Clock, commands: Commands) -> JobState:
    """Start `job` and wait until it works (it holds its lock) or has ended already."""
    identifier = job.id
    launcher = "systemd-run" if os.path.isdir("/run/systemd/system") else "setsid"
    state = JobState(id=identifier, kind=job.kind, request=digest(job.params), launcher=launcher, started=clock.time())
    write_request(identifier, {"kind": job.kind, "params": job.params, "lock": job.lock})
    write_state(state)
    argv = [sys.executable, "-I", helper_program(job.entry), job_dir(identifier)]
    if launcher == "systemd-run":
        _start_unit(argv, identifier, commands)
    else:
        _start_session(argv, identifier)
    found = [state]

    def begun() -> bool:
        found[0] = read_state(identifier) or found[0]
        return found[0].status != STARTING

    if not clock.wait_until(begun, _START_SECONDS):
        raise EngineError(f"The job {identifier} did not start: {log_tail(identifier) or 'its log is empty'}.", job=identifier)
    return found[0]


def _start_unit(argv: list[str], identifier: str, commands: Commands) -> None:
    """A transient unit: it outlives the login session, and its control group takes every engine with it."""
    unit = f"imageops-job-{identifier}"
    log = os.path.join(job_dir(identifier), "log")
    with contextlib.suppress(EngineError):
        commands.output(["systemctl", "reset-failed", f"{unit}.service"])
    options = ["--quiet", "--collect", f"--unit={unit}", f"--description=imageops.fleet job {identifier}"]
    options += ["--property=Type=exec", f"--property=StandardOutput=truncate:{log}", f"--property=StandardError=append:{log}"]
    commands.output(["systemd-run", *options, *argv])


def _start_session(argv: list[str], identifier: str) -> None:
    """Without systemd: a session of its own, which a hang-up of ours does not reach."""
    with open(os.path.join(job_dir(identifier), "log"), "w", encoding="utf-8") as log:
        subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/")


def finish(job: Job, clock: Clock, *, timeout: Optional[float] = None) -> JobState:
    """Wait for the end of a running job; its state.

    Raises TimedOut after `timeout` seconds (the job goes on), the job's own error, or EngineError when it died.
    """
    found: list[Optional[JobState]] = [None]

    def ended() -> bool:
        state = running(job) or read_state(job.id)
        found[0] = state
        return state is None or state.ended or running(job) is None

    if not clock.wait_until(ended, timeout or _NO_LIMIT, interval=0.25):
        state = found[0]
        raise TimedOut(
            f"The job {job.id} has not ended within {timeout:g} seconds ({state.percent if state else 0:g} % done); it goes on, "
            f"and the next run of this task joins it.",
            job=job.id,
        )
    return _result(job, read_state(job.id))


def _result(job: Job, state: Optional[JobState]) -> JobState:
    if state is not None and state.status == DONE:
        return state
    if state is not None and state.error:
        raise error_of(state)
    stopped = state is not None and state.status == CANCELLED
    kind, how = (EngineError, "was stopped") if stopped else (JobDied, "died")
    raise kind(
        f"The job {job.id} {how} before {job.target} was finished; the target is as it was, and the next run starts again. "
        f"{log_tail(job.id)}".strip(),
        job=job.id,
    )


def error_of(state: JobState) -> ImageOpsError:
    """The error that ended a job, as the class it was raised as."""
    kind = getattr(_errors, str(state.error.get("type")), EngineError)
    return kind(str(state.error.get("message")), **{**state.error.get("details", {}), "job": state.id})  # type: ignore[no-any-return]
