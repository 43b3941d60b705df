# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.launch import Job
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import DONE, JobState
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.waiting import JobDied
from ansible_collections.imageops.fleet.plugins.module_utils._operations import long_work
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools

JOB = Job("k", "/target", {}, lambda: "unused")
PARAMS = {"timeout": 0, "on_interrupt": "detach", "lease_timeout": 60}


def run(monkeypatch: pytest.MonkeyPatch, *starters: int) -> dict[str, Any]:
    """A step whose job is started by one of these after the other; all but the last die."""
    begun: list[int] = []

    def start(*_given: Any, **_named: Any) -> JobState:
        begun.append(starters[len(begun)])
        return JobState(JOB.id, "k", "r", starter=begun[-1])

    def finish(*_given: Any, **_named: Any) -> JobState:
        if len(begun) < len(starters):
            raise JobDied("it died")
        return JobState(JOB.id, "k", "r", status=DONE, result={"tries": len(begun)})

    monkeypatch.setattr(long_work, "start", start)
    monkeypatch.setattr(long_work, "finish", finish)
    info: dict[str, Any] = {}
    long_work.job_step("work", JOB, Tools(version="0"), params=PARAMS, info=info).run()
    return info["job"]


def test_work_of_another_run_that_died_is_done_by_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, 99999999, os.getpid())["tries"] == 2


def test_work_of_its_own_that_died_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(JobDied):
        run(monkeypatch, os.getpid(), os.getpid())


class Request:
    def job(self, version: str) -> Job:
        return Job("k", "/target", {"version": version}, lambda: "unused")


def test_only_what_can_be_asked_for_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[Job]()

    def join(job: Job, *_given: Any, **_named: Any) -> bool:
        asked.append(job)
        return True

    def wrong(params: dict[str, Any], tools: Tools) -> Request:
        raise InvalidOption("wrong")

    monkeypatch.setattr(long_work, "join", join)
    assert long_work.joining(lambda params, tools: Request())(PARAMS, Tools(version="3"))
    assert not long_work.joining(wrong)(PARAMS, Tools(version="3"))
    assert [job.params for job in asked] == [{"version": "3"}]


def test_the_job_that_writes_a_path(tmp_path: Path) -> None:
    """Whatever name a task has for the path; a task that names none has no job."""
    (tmp_path / "link").symlink_to(tmp_path)
    found = [
        long_work.job_writing("k", "dest")({"dest": str(path)}, Tools())
        for path in (tmp_path / "disk", tmp_path / "link/disk")
    ]
    assert found == [Job("k", str(tmp_path / "disk"), {}, lambda: "unused").id] * 2
    assert long_work.job_writing("k", "dest")({"dest": None}, Tools()) is None
