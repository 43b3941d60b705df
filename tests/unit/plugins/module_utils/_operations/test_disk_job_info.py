# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TimedOut
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import lease, stopping
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.running import write_lock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import (
    JobState,
    job_path,
    read_state,
    write_state,
)
from ansible_collections.imageops.fleet.plugins.module_utils._locks import lock_path, try_lock
from ansible_collections.imageops.fleet.tests.unit import run_module
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock

pytestmark = pytest.mark.usefixtures("state_dir")


@pytest.fixture
def jobs(tmp_path: Path, state_dir: Path) -> Iterator[None]:
    """One that is done, one that died with a leaf, one that works: the last is this process' lock."""
    leaf = tmp_path / ".b.imageops-partial"
    leaf.touch()
    write_state(JobState("a-1", "convert", "r", status="done", target="/srv/a", rate=5.0, eta=0.0, started=7.0))
    write_state(JobState("b-2", "convert", "r", status="running", target="/srv/b", leaves=[str(leaf)], pid=1))
    write_state(
        JobState("c-3", "chain", "r", status="running", target=str(tmp_path / "c"), rate=5.0, eta=2.0, pid=os.getpid())
    )
    lease.grant("c-3", lease.Lease(lease.CANCEL, 9))
    handle = try_lock(write_lock(str(tmp_path / "c")))
    assert handle is not None
    yield
    os.close(handle)


def listed(*, check: bool = False, **params: Any) -> dict[str, Any]:
    result = run_module.run_module("disk_job_info", params, check=check, diff=check)
    assert "failed" not in result, result["msg"]
    return result


def statuses(result: dict[str, Any]) -> dict[str, str]:
    return {job["id"]: job["status"] for job in result["jobs"]}


@pytest.mark.usefixtures("jobs")
def test_all_jobs_of_a_host(tmp_path: Path) -> None:
    result = listed()
    assert not result["changed"]
    assert statuses(result) == {"a-1": "done", "b-2": "died", "c-3": "running"}
    done, dead, works = result["jobs"]
    assert (done["running"], done["rate"], done["pid"], done["started"]) == (False, None, None, 7.0)
    assert dead["leaves"] == [str(tmp_path / ".b.imageops-partial")]
    assert (works["running"], works["rate"], works["eta"], works["pid"]) == (True, 5.0, 2.0, os.getpid())
    assert (works["on_interrupt"], works["lease_timeout"]) == ("cancel", 9)


def test_a_host_without_jobs(state_dir: Path) -> None:
    assert listed() == {"changed": False, "jobs": [], **_invocation(listed())}
    assert not (state_dir / "jobs").exists()


def _invocation(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in ("changed", "jobs")}


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("params", "found"),
    [
        ({"ids": ["b-2", "unknown", "../a-1", ".."]}, ["b-2"]),
        ({"paths": ["/srv/../srv/a"]}, ["a-1"]),
        ({"status": ["done", "died"]}, ["a-1", "b-2"]),
        ({"ids": ["a-1"], "paths": ["/srv/b"]}, []),
        ({"ids": []}, []),
    ],
)
def test_filters(params: dict[str, Any], found: list[str]) -> None:
    assert list(statuses(listed(**params))) == found


@pytest.mark.usefixtures("jobs")
def test_what_a_dead_job_left_is_cleaned_once(tmp_path: Path) -> None:
    leaf = tmp_path / ".b.imageops-partial"
    told = listed(ids=["a-1", "b-2"], cancel=True, check=True)
    assert statuses(told) == {"a-1": "done", "b-2": "cancelled"} and told["changed"] and leaf.exists()
    result = listed(ids=["a-1", "b-2"], cancel=True)
    assert statuses(result) == {"a-1": "done", "b-2": "cancelled"} and result["changed"]
    assert [job["changed"] for job in result["jobs"]] == [False, True]
    assert not leaf.exists()
    assert not listed(ids=["a-1", "b-2"], cancel=True)["changed"]


def test_nobody_stops_all_jobs_by_mistake() -> None:
    assert "ids, paths" in run_module.run_module("disk_job_info", {"cancel": True})["msg"]


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("params", [{"ids": None}, {"paths": None}, {"ids": None, "paths": None, "status": ["died"]}])
def test_a_variable_that_holds_nothing_names_no_jobs(params: dict[str, Any], check: bool, tmp_path: Path) -> None:
    told = run_module.run_module("disk_job_info", {**params, "cancel": True}, check=check)
    assert told["failed"] and not told["changed"]
    assert told["msg"] == "cancel: no job is named; give 'ids' or 'paths' of those that shall be stopped."
    assert (tmp_path / ".b.imageops-partial").exists()


@pytest.mark.usefixtures("jobs")
def test_an_empty_list_names_none() -> None:
    assert listed(ids=[], cancel=True)["jobs"] == listed(paths=[], cancel=True)["jobs"] == []


@pytest.mark.usefixtures("jobs")
def test_a_dead_job_that_was_started_again_is_left_alone(tmp_path: Path) -> None:
    dead = read_state("c-3")
    assert dead is not None
    leaf = tmp_path / ".c.imageops-partial"
    leaf.touch()
    stopping.clean(replace(dead, leaves=[str(leaf)]), Clock())
    assert leaf.exists() and read_state("c-3") == dead


def test_a_time_that_is_too_short() -> None:
    assert "give 1 or more" in run_module.run_module("disk_job_info", {"timeout": 0})["msg"]


def test_a_session_is_stopped_by_its_process(tmp_path: Path) -> None:
    target = str(tmp_path / "t")
    lock = write_lock(target)
    folder = job_path("s-1")
    script = "import fcntl,os,sys,time; h=os.open(sys.argv[2], os.O_RDWR|os.O_CREAT); fcntl.flock(h, 2); print(1, flush=True); time.sleep(60)"
    handle = try_lock(lock)
    assert handle is not None
    os.close(handle)
    with subprocess.Popen([sys.executable, "-c", script, folder, lock_path(lock)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        write_state(JobState("s-1", "k", "r", status="running", target=target, pid=process.pid, launcher="setsid"))
        state = read_state("s-1")
        assert state is not None
        stopping.stop(state, Clock(), Commands(), timeout=120)
        assert process.wait() == -signal.SIGTERM
    ended = read_state("s-1")
    assert ended is not None and ended.status == "cancelled"


@pytest.mark.usefixtures("jobs")
def test_another_process_with_its_number_is_left_alone() -> None:
    state = read_state("c-3")
    assert state is not None
    with pytest.raises(TimedOut, match="has not ended within 3 seconds; look at its log"):
        stopping.stop(state, FakeClock(), Commands(), timeout=3)


@pytest.mark.usefixtures("jobs")
def test_a_unit_is_stopped_by_systemd() -> None:
    calls: list[list[str]] = []

    def systemctl(argv: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        calls.append(argv)
        return subprocess.CompletedProcess(argv, 0, "", "")

    state = read_state("b-2")
    assert state is not None
    state.launcher = "systemd-run"
    stopping.stop(state, FakeClock(), Commands(systemctl), timeout=3)
    assert calls == [["systemctl", "--no-block", "stop", "imageops-job-b-2.service"]]
