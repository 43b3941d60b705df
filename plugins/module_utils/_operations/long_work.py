# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The step of a plan that is a job: started or joined, waited for, its facts told."""

from __future__ import annotations

from typing import Any

from .._errors import InvalidOption
from .._jobs.launch import Job, finish, start
from .._plan import Step
from .operation import Tools


def job_step(title: str, job: Job, tools: Tools, *, params: dict[str, Any], info: dict[str, Any]) -> Step:
    """The step that does `job` and puts its facts into `info["job"]`.

    `params` are the item's options: of them `timeout` (seconds, 0 for no limit) is for waiting.
    """

    def run() -> None:
        began = tools.clock.now()
        start(job, tools.clock, tools.commands)
        state = finish(job, tools.clock, timeout=params["timeout"] or None)
        seconds = round(tools.clock.now() - began, 3)
        info["job"] = {"id": state.id, "launcher": state.launcher, "seconds": seconds, **state.result}

    return Step(title, run)


def check_timeout(params: dict[str, Any]) -> None:
    """Raise InvalidOption for a time that can't be waited."""
    if params["timeout"] < 0:
        raise InvalidOption(f"timeout: {params['timeout']} seconds can't be waited; give 0 for no limit, or more.")
