# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step of a plan that is a job: started or joined, waited for, its facts told."""

from __future__ import annotations

import os
from typing import Any, Callable, Protocol

from .._errors import ImageOpsError, InvalidOption
from .._files import real_path
from .._jobs.attended import JOINED, attended
from .._jobs.launch import Job, finish, join, running, start
from .._jobs.lease import Lease, require_lease
from .._jobs.state import JobState, has_ended, job_id, read_state
from .._plan import Step
from .._sizes import parse_size
from .operation import Tools

# What an engine counts bytes in has 64 bits, one of them for the sign.
_MOST_BANDWIDTH = (1 << 63) - 1


def job_step(title: str, job: Job, tools: Tools, *, params: dict[str, Any], info: dict[str, Any]) -> Step:
    """The step that does `job` and puts its facts into `info["job"]`.

    `params` are the item's options: of them `timeout` (seconds, 0 for no limit) is for waiting, and `on_interrupt` and
    `lease_timeout` say what becomes of the job when nobody waits any more.
    """

    def run() -> None:
        from .._jobs.waiting import ended_state, job_facts, require_request

        waited = (attended() or {}).get(job.id)
        died = waited is not None and waited["as"] == JOINED and not has_ended(job.id)
        if waited is not None and not died and running(job, tools.clock) is None:
            # This task has waited for it already.
            state = require_request(read_state(job.id), waited["request"])
            info["job"] = job_facts(ended_state(state, job.id, job.target))
            return
        info["job"] = job_facts(_done(job, tools, params))

    return Step(title, run)


def _done(job: Job, tools: Tools, params: dict[str, Any]) -> JobState:
    """Start or join, and wait for the end; if it was another run's job and died, do the work ourselves."""
    from .._jobs.waiting import JobDied

    def begin() -> JobState:
        return start(job, tools.clock, tools.commands, lease=lease_of_task(params))

    def end() -> JobState:
        return finish(job, tools.clock, timeout=params["timeout"] or None)

    begun = begin()
    try:
        return end()
    except JobDied:
        if begun.starter == os.getpid():
            raise
    begin()
    return end()


def join_job(job: Job, tools: Tools, *, params: dict[str, Any]) -> bool:
    """Wait for the end of `job` when it runs already; False when it doesn't. `params` as for `job_step`."""
    return join(job, tools.clock, timeout=params["timeout"] or None, lease=lease_of_task(params))


class Requested(Protocol):
    """What a task is asked to do, where one job does it."""

    def job(self, version: str) -> Job:
        """The job; equal requests give equal jobs."""


def joining(read: Callable[[dict[str, Any], Tools], Requested]) -> Callable[[dict[str, Any], Tools], bool]:
    """An operation's `join`: wait for a job that does already just what `read` reads from an item's options."""

    def join_running(params: dict[str, Any], tools: Tools) -> bool:
        try:
            request = read(params, tools)
        except ImageOpsError:
            return False
        return join_job(request.job(tools.version), tools, params=params)

    return join_running


def job_writing(kind: str, option: str) -> Callable[[dict[str, Any], Tools], str | None]:
    """An operation's `job_id`: that of the job of this kind that writes the path which `option` gives."""

    def job_of(params: dict[str, Any], tools: Tools) -> str | None:
        return job_id(kind, real_path(params[option])) if params[option] else None

    return job_of


def lease_of_task(params: dict[str, Any]) -> Lease:
    """What the task wants for its jobs."""
    return Lease(params["on_interrupt"], params["lease_timeout"])


def bandwidth_of(params: dict[str, Any]) -> int | None:
    """The most bytes a second that a job may take, None for no limit (0 is none either); raises InvalidOption."""
    if not params["bandwidth"]:
        return None
    found = parse_size(params["bandwidth"], option="bandwidth")
    if found > _MOST_BANDWIDTH:
        raise InvalidOption(
            f"bandwidth: '{params['bandwidth']}' is more than can be counted; give 8191P or less, or leave it out for no limit."
        )
    return found or None


def check_timeout(params: dict[str, Any]) -> None:
    """Raise InvalidOption for times that can't be waited."""
    if params["timeout"] < 0:
        raise InvalidOption(f"timeout: {params['timeout']} seconds can't be waited; give 0 for no limit, or more.")
    require_lease(lease_of_task(params))
