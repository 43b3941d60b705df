# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversion that only shares blocks is done before a job would have started, so it is done here and now."""

from __future__ import annotations

import os
from typing import Any

from .._errors import Unsupported
from .._jobs.launch import Job
from .._jobs.progress import Progress
from .._locks import try_lock
from .._plan import Step
from . import convert_copy, convert_job
from .base_files import base_lock
from .convert_request import AUTO, REFLINK, ConvertRequest
from .operation import Tools


class _Silent(Progress):
    """Nobody follows what takes milliseconds."""

    def __init__(self) -> None:
        """Without a state file."""

    def phase(self, name: str, *, total: int = 0) -> None:
        """Not told."""

    def update(self, done: int) -> None:
        """Not told."""

    def leaves(self, *paths: str) -> None:
        """What a killed module leaves is removed by the next run of the task, which knows its name."""


def at_once(request: ConvertRequest, job: Job, step: Step, tools: Tools, info: dict[str, Any]) -> Step:
    """`step`, which does `job`, unless sharing blocks is enough; the facts of what was done go into `info["job"]`."""
    if not _promising(request, job):
        return step

    def run() -> None:
        began, facts = tools.clock.now(), _shared(job)
        if facts is None:
            step.run()
            return
        seconds = round(tools.clock.now() - began, 3)
        size = request.source.virtual_size
        told = {"id": job.id, "launcher": "none", "bytes": size, "seconds": seconds, "rate": None, "phases": []}
        info["job"] = {**told, **facts}

    return Step(step.title, run)


def _promising(request: ConvertRequest, job: Job) -> bool:
    """Whether blocks may be shared; what must be compared before or afterwards takes its time, and is a job."""
    if request.params["method"] not in (AUTO, REFLINK) or request.params["verify"] == "deep" or request.on_device:
        return False
    if request.checksum:
        return False
    folder = os.path.dirname(request.dest)
    near = all(os.stat(path).st_dev == os.stat(folder).st_dev for path in request.source.files)
    return near and convert_copy.suits(job.params, request.source)


def _shared(job: Job) -> dict[str, Any] | None:
    """Do it under the job's own lock; None when it must be a job after all."""
    lock = try_lock(job.lock)
    if lock is None:
        return None
    try:
        if not _is_free(job.params["dest"]):
            return None
        return convert_job.convert({**job.params, "method": REFLINK}, _Silent(), lock)
    except Unsupported:
        return None
    finally:
        os.close(lock)


def _is_free(dest: str) -> bool:
    """Whether nobody makes disks from what is there; for its end a job waits, which tells that it does."""
    base = try_lock(base_lock(dest))
    if base is not None:
        os.close(base)
    return base is not None
