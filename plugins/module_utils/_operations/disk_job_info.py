# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The jobs of a host: listed, and stopped when that is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import InvalidOption
from .._files import real_path
from .._jobs.listing import DIED, find_job, job_ids, job_listing, status_of
from .._jobs.state import CANCELLED, JobState
from .._jobs.stopping import clean, stop
from .._plan import Plan, Step
from .operation import Operation, Tools


def wanted_jobs(params: dict[str, Any], tools: Tools) -> Iterator[dict[str, Any]]:
    """One item per job that the filters let through."""
    if params["timeout"] < 1:
        raise InvalidOption(f"timeout: {params['timeout']} seconds are too few to stop a job in; give 1 or more.")
    if params["cancel"] and params["ids"] is None and params["paths"] is None:
        raise InvalidOption("cancel: no job is named; give 'ids' or 'paths' of those that shall be stopped.")
    ids = None if params["ids"] is None else set(params["ids"])
    targets = None if params["paths"] is None else {real_path(path) for path in params["paths"]}
    for identifier in job_ids():
        state = find_job(identifier)
        if state is None or (ids is not None and identifier not in ids):
            continue
        if targets is not None and state.target not in targets:
            continue
        if params["status"] is None or status_of(state, tools.clock) in params["status"]:
            yield {**params, "id": identifier}


def plan_job(params: dict[str, Any], tools: Tools) -> Plan:
    """The facts of one job, and with `cancel` the step that ends it."""
    state = find_job(params["id"])
    if state is None:
        return Plan(params["id"], {}, {}, lambda: {"status": "gone", "running": False})
    found = job_listing(state, status_of(state, tools.clock))
    steps = _steps(state, found, params, tools) if params["cancel"] else ()

    def observe() -> dict[str, Any]:
        now = find_job(state.id) or state
        return job_listing(now, status_of(now, tools.clock))

    def foretell() -> dict[str, Any]:
        ended = {"status": CANCELLED, "running": False, "rate": None, "eta": None, "pid": None, "leaves": []}
        return {**found, **ended} if steps else found

    before = {name: found[name] for name in ("status", "running", "leaves")}
    after = {name: foretell()[name] for name in before}
    return Plan(state.id, before, after, observe, steps=steps, foretell=foretell)


def _steps(state: JobState, found: dict[str, Any], params: dict[str, Any], tools: Tools) -> tuple[Step, ...]:
    if found["running"]:
        title = f"stop the job {state.id}, which writes {state.target}"
        return (Step(title, lambda: stop(state, tools.clock, tools.commands, timeout=params["timeout"])),)
    if found["status"] == DIED or found["leaves"]:
        return (Step(f"clean what the dead job {state.id} left", lambda: clean(state, tools.clock)),)
    return ()


OPERATION = Operation(plan=plan_job, result="jobs", expand=wanted_jobs, parallel=4)
