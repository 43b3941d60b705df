# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a job, joining it, waiting for its end."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any, Callable

from .. import _errors
from .._commands import Commands
from .._errors import Conflict, EngineError, ImageOpsError, TimedOut
from .._faults import FAULT_VARIABLE
from .._files import STATE_VARIABLE
from .._locks import try_lock
from .clock import Clock
from .helper import helper_program
from .state import (
    CANCELLED,
    DONE,
    FAILED,
    STARTING,
    JobState,
    digest,
    job_dir,
    job_id,
    log_tail,
    read_state,
    write_request,
    write_state,
)

UNIT, SESSION = "systemd-run", "setsid"
_START_SECONDS = 30.0
_UNIT_SECONDS = 10.0
_INTERVAL = 0.25
_NO_LIMIT = 10 * 365 * 86400.0


class JobDied(EngineError):
    """A job ended without saying how: it was killed, or its host went down."""


@dataclass(frozen=True)
class Job:
    """A piece of long work: `kind` names the sort of work, `target` the object it writes, `params` what it gets.

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


def running(job: Job, clock: Clock) -> JobState | None:
    """The state of the job that writes the same target now, whatever its params; None when none runs.

    One that was started a moment ago counts, though it doesn't hold its lock yet.
    """
    state = read_state(job.id)
    if state is None or state.ended:
        return None
    starting = state.status == STARTING and 0 <= clock.time() - state.started < _START_SECONDS
    return state if starting or _is_held(job.lock) else None


def _is_held(lock: str) -> bool:
    handle = try_lock(lock)
    if handle is None:
        return True
    os.close(handle)
    return False


def join(job: Job, clock: Clock, *, timeout: float | None = None) -> bool:
    """Wait for the end of `job` when it runs already; False when it doesn't.

    Raises Conflict when a job with other params writes the same target, and the job's own error when it fails.
    """
    state = running(job, clock)
    if state is None:
        return False
    _require_same(job, state)
    try:
        finish(job, clock, timeout=timeout)
    except JobDied:
        return False
    return True


def _require_same(job: Job, state: JobState) -> None:
    if state.request == digest(job.params):
        return
    stop = f"systemctl stop {_unit(state.id)}" if state.launcher == UNIT else f"kill {state.pid}"
    raise Conflict(
        f"{job.target} is being written by the job {state.id} with other options ({state.percent:g} % of phase "
        f"'{state.phase}' done); run the task again when it has ended, or stop it with '{stop}'.",
        job=state.id,
    )


def start(job: Job, clock: Clock, commands: Commands) -> JobState:
    """Start `job`, unless it runs already, and wait until it works (it holds its lock) or has ended.

    Raises Conflict when a job with other params writes the same target.
    """
    current = running(job, clock)
    if current is not None:
        _require_same(job, current)
        return current
    launcher = launcher_here()
    state = JobState(id=job.id, kind=job.kind, request=digest(job.params), launcher=launcher, started=clock.time())
    argv = [sys.executable, "-I", helper_program(job.entry), job_dir(job.id)]
    write_request(job.id, {"kind": job.kind, "params": job.params, "lock": job.lock})
    write_state(state)
    try:
        alive = _start_unit(argv, job.id, clock, commands) if launcher == UNIT else _start_session(argv, job.id)
        return _begun(job, clock, alive)
    except ImageOpsError:
        # A helper that comes too late sees this and goes.
        write_state(replace(state, status=FAILED))
        raise


def launcher_here() -> str:
    """How jobs start on this host: root's by systemd where it runs, others in a session of their own."""
    return UNIT if os.geteuid() == 0 and os.path.isdir("/run/systemd/system") else SESSION


def _begun(job: Job, clock: Clock, alive: Callable[[], bool]) -> JobState:
    """The state of a new job as soon as it isn't starting any more."""

    def begun() -> bool:
        lives = alive()
        return _status(job) != STARTING or not lives

    clock.wait_until(begun, _START_SECONDS, interval=_INTERVAL)
    state = read_state(job.id)
    if state is None or state.status == STARTING:
        raise EngineError(f"The job {job.id} did not start: {log_tail(job.id) or 'its log is empty'}.", job=job.id)
    return state


def _status(job: Job) -> str:
    state = read_state(job.id)
    return state.status if state else STARTING


def _unit(identifier: str) -> str:
    return f"imageops-job-{identifier}"


def _start_unit(argv: list[str], identifier: str, clock: Clock, commands: Commands) -> Callable[[], bool]:
    """A transient unit: it outlives the login session, and its control group takes every engine with it."""
    log = os.path.join(job_dir(identifier), "log")
    options = ["--quiet", "--collect", f"--unit={_unit(identifier)}", f"--description=imageops.fleet job {identifier}"]
    options += [
        "--property=Type=exec",
        f"--property=StandardOutput=truncate:{log}",
        f"--property=StandardError=append:{log}",
    ]
    options += [
        f"--setenv={name}={os.environ[name]}" for name in (STATE_VARIABLE, FAULT_VARIABLE) if name in os.environ
    ]

    def started() -> bool:
        try:
            commands.output(["systemd-run", *options, *argv])
        except EngineError as error:
            # The unit of the last job on this target goes a moment after its process.
            if "already loaded" in str(error) or "already exists" in str(error):
                return False
            raise
        return True

    if not clock.wait_until(started, _UNIT_SECONDS):
        raise EngineError(f"The unit {_unit(identifier)} of an earlier job does not end; look at it with systemctl.")
    return lambda: True


def _start_session(argv: list[str], identifier: str) -> Callable[[], bool]:
    """Without systemd: a session of its own, which a hang-up of ours does not reach."""
    with open(os.path.join(job_dir(identifier), "log"), "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    return lambda: process.poll() is None


def finish(job: Job, clock: Clock, *, timeout: float | None = None) -> JobState:
    """Wait for the end of a running job; its state.

    Raises TimedOut after `timeout` seconds (the job goes on), the job's own error, or JobDied.
    """
    if not clock.wait_until(lambda: running(job, clock) is None, timeout or _NO_LIMIT, interval=_INTERVAL):
        state = read_state(job.id)
        raise TimedOut(
            f"The job {job.id} has not ended within {timeout:g} seconds ({state.percent if state else 0:g} % done); it goes on, "
            f"and the next run of this task joins it.",
            job=job.id,
        )
    return _result(job, read_state(job.id))


def _result(job: Job, state: JobState | None) -> JobState:
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
    return kind(str(state.error.get("message")), **{**state.error.get("details", {}), "job": state.id})
