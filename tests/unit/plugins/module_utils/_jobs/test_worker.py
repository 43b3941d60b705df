# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import lease, worker
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.handover import handed_over
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import (
    JobState,
    job_dir,
    read_state,
    write_request,
    write_state,
)
from ansible_collections.imageops.fleet.plugins.module_utils._locks import try_lock

pytestmark = pytest.mark.usefixtures("state_dir")


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def folder() -> str:
    write_request("x", {"kind": "k", "params": {"a": 1}, "lock": "write:/target"})
    write_state(JobState("x", "k", "r"))
    return job_dir("x")


def never(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    raise AssertionError("this job must not begin")


def state() -> JobState:
    found = read_state("x")
    assert found is not None
    return found


def test_work_is_done_under_its_lock(folder: str) -> None:
    def work(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
        assert params == {"a": 1}
        assert os.get_inheritable(lock)
        assert try_lock("write:/target") is None
        assert state().pid == os.getpid()
        os.close(lock)
        return {"b": 2}

    assert worker.run_job(folder, work) == 0
    assert (state().status, state().result) == ("done", {"b": 2})


def test_our_errors_are_kept_with_their_details(folder: str) -> None:
    def work(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
        raise Conflict("no", path=Path("/x"))

    assert worker.run_job(folder, work) == 1
    assert state().error == {"type": "Conflict", "message": "no", "details": {"path": "/x"}}


def test_a_second_stop_does_not_cut_the_tidying_short(folder: str) -> None:
    tidied = []

    def work(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            tidied.append(True)
        return {}

    assert worker.run_job(folder, work) == 1
    assert (state().status, tidied) == ("cancelled", [True])


def test_a_target_that_stays_locked(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_LOCK_SECONDS", 0.05)
    handle = try_lock("write:/target")
    assert handle is not None
    assert worker.run_job(folder, never) == 1
    os.close(handle)
    assert state().error["type"] == "InUse"
    assert state().error["message"].startswith("/target is being written by another job")


def test_one_that_was_given_up_does_nothing(folder: str) -> None:
    write_state(JobState("x", "k", "r", status="failed"))
    assert worker.run_job(folder, never) == 1


def test_no_state(folder: str) -> None:
    os.unlink(os.path.join(folder, "state.json"))
    assert worker.run_job(folder, never) == 2


def test_secrets_reach_the_work_and_no_text(folder: str) -> None:
    write_request("x", {"kind": "k", "params": {"a": 1}, "lock": "write:/target", "secrets": ["p"]})

    def work(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
        assert params == {"a": 1, "secrets": {"p": "geheim"}}
        raise Conflict("not with geheim", said="geheim!")

    with handed_over("x", {"p": "geheim"}):
        assert worker.run_job(folder, work) == 1
    assert state().error == {"type": "Conflict", "message": "not with ********", "details": {"said": "********!"}}
    assert all("geheim" not in path.read_text() for path in Path(folder).iterdir())


def test_what_the_work_leaves_is_cleaned(folder: str, tmp_path: Path) -> None:
    partial = tmp_path / ".x.imageops-partial"

    def work(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
        progress.leaves(str(partial))
        partial.touch()
        raise Conflict("no")

    assert worker.run_job(folder, work) == 1
    assert not partial.exists()
    assert state().leaves == []


def test_a_job_that_nobody_asks_for_stops(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_LEASE_SECONDS", 0.05)
    lease.grant("x", lease.Lease(lease.CANCEL, 5))
    os.utime(os.path.join(folder, "lease"), (1, 1))

    def work(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
        Clock().sleep(120)
        return {}

    assert worker.run_job(folder, work) == 1
    assert (state().status, state().reason) == ("cancelled", "nobody asked for it for 5 seconds")


def test_phases_are_kept(folder: str) -> None:
    def work(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
        progress.phase("convert", total=100)
        progress.update(100)
        progress.phase("verify")
        return {}

    assert worker.run_job(folder, work) == 0
    assert [(phase["name"], phase["bytes"]) for phase in state().phases] == [("convert", 100), ("verify", 0)]
