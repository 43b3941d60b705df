# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job as who starts it sees it: starting it, joining it, waiting for its end.

What only a job that really starts or ends needs is imported there: most runs find nothing to do.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from .._commands import Commands
from .._errors import Conflict, EngineError, ImageOpsError
from .._files import remove_halves
from .attended import MOST_PATIENCE, PATIENCE, REST, Pending, attended
from .clock import Clock
from .lease import CALLER, CANCEL, Lease, grant, lease_of, renew, share
from .running import START_SECONDS, is_running, read_lock, write_lock
from .state import (
    FAILED,
    SESSION,
    STARTING,
    UNIT,
    JobState,
    digest,
    job_dir,
    job_id,
    log_tail,
    read_state,
    unit_name,
    write_request,
    write_state,
)
from .turns import in_turn

_INTERVAL = 0.25
_RENEW_SECONDS = 1.0
_NO_LIMIT = 10 * 365 * 86400.0


@dataclass(frozen=True)
class Job:
    """A piece of long work: `kind` names the sort of work, `target` the object it writes, `params` what it gets.

    `entry` names the module whose main() the helper runs; it is asked only when the job starts, so that other runs needn't
    load the work. Two jobs with equal params are the same work. `secrets` reach the work as `params["secrets"]`; they are
    never written to a file, and tell no two jobs apart. A job that only reads `target` has a `question`, the text that tells
    it from others about the same object: such jobs run side by side, while who writes waits.
    """

    kind: str
    target: str
    params: dict[str, Any]
    entry: Callable[[], str]
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    question: str = ""

    @property
    def id(self) -> str:
        return job_id(self.kind, self.target, self.question)

    @property
    def lock(self) -> str:
        return read_lock(self.id) if self.question else write_lock(self.target)

    @property
    def shared(self) -> list[str]:
        """The locks that it holds together with others."""
        return [write_lock(self.target)] if self.question else []


def running(job: Job, clock: Clock) -> JobState | None:
    """The state of the job that writes the same target now, whatever its params; None when none runs.

    One that was started a moment ago counts, though it doesn't hold its lock yet.
    """
    state = read_state(job.id)
    return state if state is not None and is_running(state, clock) else None


def join(job: Job, clock: Clock, *, timeout: float | None = None, lease: Lease | None = None) -> bool:
    """Wait for the end of `job` when it runs already; False when it doesn't.

    Raises Conflict when a job with other params writes the same target, and the job's own error when it fails.
    """
    from .waiting import JobDied

    state = _at_work(job, clock)
    if state is None:
        return False
    _require_same(job, state)
    share(job.id, lease or Lease())
    try:
        finish(job, clock, timeout=timeout)
    except JobDied:
        return False
    return True


def _at_work(job: Job, clock: Clock) -> JobState | None:
    """As `running`; one that another run has just started is awaited, since it may have been killed before it began."""
    state = running(job, clock)
    if state is None or state.status != STARTING:
        return state
    clock.wait_until(lambda: _status(job) != STARTING or running(job, clock) is None, START_SECONDS, interval=_INTERVAL)
    return running(job, clock)


def _require_same(job: Job, state: JobState) -> None:
    if state.request == digest(job.params):
        return
    stop = f"systemctl stop {unit_name(state.id)}" if state.launcher == UNIT else f"kill {state.pid}"
    raise Conflict(
        f"{job.target} is being {'read' if job.question else 'written'} by the job {state.id} with other options ({state.percent:g} % of phase "
        f"'{state.phase}' done); run the task again when it has ended, or stop it with '{stop}'.",
        job=state.id,
    )


def start(job: Job, clock: Clock, commands: Commands, *, lease: Lease | None = None) -> JobState:
    """Start `job`, unless it runs already, and wait until it works (it holds its lock) or has ended.

    Raises Conflict when a job with other params writes the same target.
    """
    with in_turn(job.id, clock):
        current = _at_work(job, clock)
        if current is not None:
            _require_same(job, current)
            share(job.id, lease or Lease())
            return current
        return _start_new(job, clock, commands, lease or Lease())


def _start_new(job: Job, clock: Clock, commands: Commands, lease: Lease) -> JobState:
    from .handover import handed_over
    from .helper import helper_program
    from .leaves import remove_leaves
    from .starters import start_session, start_unit
    from .tidying import tidy_jobs

    if lease.on_interrupt == CANCEL and not CALLER.lives():
        raise EngineError(f"Nobody waits for this task any more, so no job was started for {job.target}.")
    dead = read_state(job.id)
    if dead is not None:
        remove_leaves(dead.leaves)
    remove_halves(job_dir(job.id))
    tidy_jobs(clock)
    launcher = launcher_here()
    state = JobState(
        id=job.id,
        kind=job.kind,
        request=digest(job.params),
        launcher=launcher,
        started=clock.time(),
        starter=os.getpid(),
        target=job.target,
        on_interrupt=lease.on_interrupt,
        lease_timeout=lease.timeout,
        lock=job.lock,
    )
    argv = [sys.executable, "-I", helper_program(job.entry()), job_dir(job.id)]
    asked = {"kind": job.kind, "params": job.params, "lock": job.lock, "shared": job.shared}
    write_request(job.id, {**asked, "secrets": sorted(job.secrets)})
    grant(job.id, lease)
    write_state(state)
    try:
        with handed_over(job.id, job.secrets):
            alive = start_unit(argv, job.id, clock, commands) if launcher == UNIT else start_session(argv, job.id)
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

    clock.wait_until(begun, START_SECONDS, interval=_INTERVAL)
    state = read_state(job.id)
    if state is None or state.status == STARTING:
        raise EngineError(f"The job {job.id} did not start: {log_tail(job.id) or 'its log is empty'}.", job=job.id)
    return state


def _status(job: Job) -> str:
    state = read_state(job.id)
    return state.status if state else STARTING


def finish(job: Job, clock: Clock, *, timeout: float | None = None) -> JobState:
    """Wait for the end of a running job; its state.

    Raises TimedOut after `timeout` seconds (the job goes on), the job's own error, or JobDied, and Conflict when another job has
    taken its place. In attended mode Pending, soon, when the job goes on.
    """
    from .waiting import ended_state, require_request, timed_out

    attends, wanted = attended() is not None, digest(job.params)
    began = renewed = clock.now()

    def settled() -> bool:
        nonlocal renewed
        if clock.now() - renewed >= _RENEW_SECONDS:
            renewed = clock.now()
            _ask_for(job.id)
        state = running(job, clock)
        return state is None or state.request != wanted or (attends and _is_long(job, clock.now() - began))

    if not clock.wait_until(settled, timeout or _NO_LIMIT, interval=_INTERVAL):
        raise timed_out(job.id, timeout or _NO_LIMIT)
    state = running(job, clock)
    if state is None:
        return ended_state(require_request(read_state(job.id), wanted), job.id, job.target)
    require_request(state, wanted)
    raise Pending(job.id, pid=state.pid, timeout=timeout, request=wanted)


def _is_long(job: Job, waited: float) -> bool:
    """Whether the job, after `waited` seconds, is better waited for by the action plugin, which shows how far it is."""
    if waited < PATIENCE:
        return False
    state = read_state(job.id)
    ends_soon = state is not None and state.eta is not None and state.eta < REST
    return waited >= MOST_PATIENCE or not ends_soon


def _ask_for(identifier: str) -> None:
    """Renew the lease of a job as long as our caller lives."""
    if CALLER.lives():
        renew(identifier)
    elif lease_of(identifier).on_interrupt == CANCEL:
        raise EngineError(f"Nobody waits for this task any more, so its job {identifier} stops.", job=identifier)
