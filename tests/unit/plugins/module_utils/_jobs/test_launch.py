# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    EngineError,
    ImageOpsError,
    NoSpace,
    TimedOut,
)
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import helper as helper_file
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import launch, running, waiting
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.launch import Job
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.running import write_lock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import (
    JobState,
    read_state,
    write_request,
    write_state,
)
from ansible_collections.imageops.fleet.plugins.module_utils._locks import try_lock, wait_for_lock
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock

UNIT = Path(__file__).resolve().parents[3]
CLOCK, COMMANDS = Clock(), Commands()


@pytest.fixture(autouse=True)
def helper(state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Jobs of tests/unit/job_kinds.py; those that still run are ended."""
    tree = launch.__file__.split("/ansible_collections/", maxsplit=1)[0]
    program = tmp_path / "helper.py"
    program.write_text(
        f"import runpy, sys\nsys.argv.insert(1, {tree!r})\nrunpy.run_path({str(UNIT / 'job_kinds.py')!r}, run_name='__main__')\n"
    )
    monkeypatch.setattr(helper_file, "helper_program", lambda entry: str(program))
    yield
    for path in (state_dir / "jobs").glob("*"):
        state = read_state(path.name)
        if state is not None and state.pid and not state.ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(state.pid, signal.SIGKILL)


def job(kind: str, tmp_path: Path, *, question: str = "", **params: Any) -> Job:
    asked = {"trace": str(tmp_path / "trace"), "gate": str(tmp_path / "gate"), "given": 1, **params}
    return Job(kind, str(tmp_path / "target"), asked, lambda: "unused", question=question)


def lives(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def let_end(tmp_path: Path) -> None:
    """What waits goes on."""
    (tmp_path / "gate").touch()


def begun(wanted: Job) -> JobState:
    state = launch.start(wanted, CLOCK, COMMANDS)
    assert state.status == "running"
    return state


def test_a_job_runs_to_its_end(tmp_path: Path) -> None:
    wanted = job("wait", tmp_path)
    state = begun(wanted)
    assert state.launcher == "setsid"
    assert os.getsid(state.pid) == state.pid
    assert launch.running(wanted, CLOCK) is not None
    let_end(tmp_path)
    done = launch.finish(wanted, CLOCK)
    assert (done.status, done.percent, done.result) == ("done", 100.0, {"given": 1})
    assert launch.running(wanted, CLOCK) is None


def test_a_second_one_on_the_same_target_follows_at_once(tmp_path: Path) -> None:
    let_end(tmp_path)
    for given in (1, 2):
        wanted = job("wait", tmp_path, given=given)
        launch.start(wanted, CLOCK, COMMANDS)
        assert launch.finish(wanted, CLOCK).result == {"given": given}


def test_the_same_job_is_joined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = job("wait", tmp_path)
    assert not launch.join(wanted, CLOCK)
    first = begun(wanted)
    assert begun(wanted).pid == first.pid
    # It ends only when it has been joined.
    monkeypatch.setattr(launch, "share", lambda *words: let_end(tmp_path))
    assert launch.join(wanted, CLOCK)
    assert not launch.join(wanted, CLOCK)


def test_another_job_on_the_target_is_refused(tmp_path: Path) -> None:
    state = begun(job("wait", tmp_path))
    other = job("wait", tmp_path, given=2)
    for act in (lambda: launch.join(other, CLOCK), lambda: launch.start(other, CLOCK, COMMANDS)):
        with pytest.raises(Conflict, match=rf"with other options .*stop it with 'kill {state.pid}'"):
            act()
    unchanged = read_state(state.id)
    assert unchanged is not None and unchanged.request == state.request


def test_of_two_that_begin_at_once_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither gets what the other one asked for."""

    def slowly(identifier: str, request: dict[str, Any]) -> None:
        write_request(identifier, request)
        CLOCK.sleep(0.2)

    monkeypatch.setattr(launch, "write_request", slowly)
    found: dict[int, Any] = {}

    def act(given: int) -> None:
        wanted = job("wait", tmp_path, given=given)
        try:
            launch.start(wanted, CLOCK, COMMANDS)
            found[given] = launch.finish(wanted, CLOCK, timeout=120).result["given"]
        except Conflict as refused:
            found[given] = str(refused)
            let_end(tmp_path)

    threads = [threading.Thread(target=act, args=(given,)) for given in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(isinstance(one, str) and "with other options" in one for one in found.values()) == [False, True]
    assert [one for one in found.values() if not isinstance(one, str)] == [
        given for given, one in found.items() if not isinstance(one, str)
    ]


@pytest.mark.parametrize("status", ["done", "running"])
def test_the_end_of_a_job_that_took_its_place_is_not_its_own(tmp_path: Path, status: str) -> None:
    let_end(tmp_path)
    wanted = job("wait", tmp_path)
    begun_state = launch.start(wanted, CLOCK, COMMANDS)
    launch.finish(wanted, CLOCK)
    write_state(replace(begun_state, request="another", status=status, result={"slept": 7}))
    lock = wait_for_lock(wanted.lock, timeout=60, wait=CLOCK.wait_until)
    assert lock is not None
    with pytest.raises(
        Conflict, match=f"Another task has the job {wanted.id} do something else with .*; run the task again"
    ):
        launch.finish(wanted, CLOCK, timeout=60)
    os.close(lock)


def test_questions_about_one_object_are_answered_side_by_side(tmp_path: Path) -> None:
    wanted = [job("wait", tmp_path, question=question) for question in ("a", "b")]
    states = [begun(one) for one in wanted]
    assert states[0].pid != states[1].pid and wanted[0].id != wanted[1].id
    assert all(launch.running(one, CLOCK) is not None for one in wanted)
    assert try_lock(write_lock(wanted[0].target)) is None
    assert launch.running(job("wait", tmp_path, question="c"), CLOCK) is None
    let_end(tmp_path)
    for one in wanted:
        assert launch.finish(one, CLOCK).result == {"given": 1}
    lock = wait_for_lock(write_lock(wanted[0].target), timeout=60, wait=CLOCK.wait_until)
    assert lock is not None
    os.close(lock)


def test_a_question_waits_for_who_writes(tmp_path: Path) -> None:
    lock = try_lock(write_lock(str(tmp_path / "target")))
    assert lock is not None
    wanted = job("wait", tmp_path, question="a")
    let_end(tmp_path)
    begun_before: list[bool] = []

    def let_go() -> None:
        begun_before.append((tmp_path / "trace").exists())
        os.close(lock)

    threading.Timer(0.5, let_go).start()
    launch.start(wanted, CLOCK, COMMANDS)
    assert launch.finish(wanted, CLOCK).status == "done" and begun_before == [False]


def test_one_that_was_started_a_moment_ago_counts_as_running(tmp_path: Path) -> None:
    """Whoever started it may have been killed before the helper took its lock."""
    wanted, clock = job("wait", tmp_path), FakeClock()
    write_state(JobState(wanted.id, "wait", "r", started=clock.time()))
    assert launch.running(wanted, clock) is not None
    clock.sleep(31)
    assert launch.running(wanted, clock) is None


def test_one_that_was_killed_before_it_began_is_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its starter is gone too, and its unit may come yet; so it counts for a moment, and the next run waits that long."""
    wanted = job("wait", tmp_path)
    write_state(JobState(wanted.id, "wait", "r", launcher="systemd-run", started=CLOCK.time()))
    monkeypatch.setattr(running, "_APPEARS_SECONDS", 25.0)
    assert launch.running(wanted, CLOCK) is not None
    monkeypatch.setattr(running, "_APPEARS_SECONDS", 0.2)
    assert begun(wanted).starter == os.getpid()
    let_end(tmp_path)
    assert launch.finish(wanted, CLOCK).result == {"given": 1}


def test_a_limit_of_time_leaves_the_job_alone(tmp_path: Path) -> None:
    wanted = job("wait", tmp_path)
    begun(wanted)
    with pytest.raises(
        TimedOut, match="not ended within 0.1 seconds.*it goes on, and the next run of this task joins it"
    ):
        launch.finish(wanted, CLOCK, timeout=0.1)
    assert launch.running(wanted, CLOCK) is not None


def test_its_error_is_ours(tmp_path: Path) -> None:
    wanted = job("full", tmp_path)
    launch.start(wanted, CLOCK, COMMANDS)
    with pytest.raises(NoSpace, match=r"^/full: No space left on device\.$") as caught:
        launch.finish(wanted, CLOCK)
    assert caught.value.details["job"] == wanted.id


def test_a_bug_points_at_the_log(tmp_path: Path) -> None:
    wanted = job("crash", tmp_path)
    launch.start(wanted, CLOCK, COMMANDS)
    with pytest.raises(EngineError, match="ended unexpectedly; its log is (.*)/log") as caught:
        launch.finish(wanted, CLOCK)
    log = Path(str(caught.value).split("its log is ")[1].rstrip("."))
    assert CLOCK.wait_until(lambda: "RuntimeError: a bug" in log.read_text(), 60)


def test_one_that_is_killed_has_died_and_can_be_started_again(tmp_path: Path) -> None:
    wanted = job("die", tmp_path)
    launch.start(wanted, CLOCK, COMMANDS)
    with pytest.raises(waiting.JobDied, match="died before .*target was finished.*last words"):
        launch.finish(wanted, CLOCK)
    assert not launch.join(wanted, CLOCK)


def test_stopping_tidies(tmp_path: Path) -> None:
    wanted = job("wait", tmp_path)
    pid = begun(wanted).pid
    assert CLOCK.wait_until(lambda: bool((state := read_state(wanted.id)) and state.phase == "wait"), 60)
    os.kill(pid, signal.SIGTERM)
    with pytest.raises(EngineError, match="was stopped before"):
        launch.finish(wanted, CLOCK)
    assert (tmp_path / "trace").read_text() == "tidied"


def test_the_engine_dies_with_its_helper(tmp_path: Path) -> None:
    wanted = job("engine", tmp_path)
    state = begun(wanted)
    trace = tmp_path / "trace"
    assert CLOCK.wait_until(lambda: trace.exists() and bool(trace.read_text().strip()), 60)
    os.kill(state.pid, signal.SIGKILL)
    assert CLOCK.wait_until(lambda: not lives(int(trace.read_text())), 60)
    with pytest.raises(waiting.JobDied):
        launch.finish(wanted, CLOCK)


def test_a_helper_that_cannot_start_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helper_file, "helper_program", lambda entry: str(tmp_path / "none.py"))
    wanted = job("wait", tmp_path)
    with pytest.raises(EngineError, match="did not start: .*none.py"):
        launch.start(wanted, CLOCK, COMMANDS)
    assert launch.running(wanted, CLOCK) is None


@pytest.mark.parametrize(
    ("details", "kind"),
    [({"type": "NoSpace"}, NoSpace), ({"type": "JobDied"}, EngineError), ({}, EngineError)],
)
def test_errors_keep_their_class(details: dict[str, Any], kind: type[ImageOpsError]) -> None:
    state = JobState("x", "k", "r", error={"message": "m", "details": {"free": 1}, **details})
    error = waiting.error_of(state)
    assert (type(error), str(error), error.details) == (kind, "m", {"free": 1, "job": "x"})


class _Systemd:
    """systemd-run as recorded; `answers` are exit codes and what is said."""

    def __init__(self, *answers: tuple[int, str]) -> None:
        self.answers = list(answers)
        self.said = ""
        self.calls: list[list[str]] = []

    def __call__(self, argv: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        self.calls.append(argv)
        code, said = self.answers.pop(0)
        return subprocess.CompletedProcess(argv, code, self.said, said)


def test_a_unit_takes_the_name_of_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "launcher_here", lambda: launch.UNIT)
    wanted, systemd = (
        job("wait", tmp_path),
        _Systemd((1, "Unit x.service was already loaded."), (0, ""), (0, "")),
    )
    systemd.said = "inactive\n"
    with pytest.raises(EngineError, match="did not start"):
        launch.start(wanted, FakeClock(), Commands(systemd))
    # It is gone, so nobody waits for it to the end of time.
    assert [call[0] for call in systemd.calls] == ["systemd-run", "systemd-run", "systemctl"]
    assert systemd.calls[0] == systemd.calls[1]
    assert {f"--unit=imageops-job-{wanted.id}", "--collect"} <= set(systemd.calls[0])
    assert any(word.startswith("--setenv=IMAGEOPS_STATE_DIR=") for word in systemd.calls[0])


def test_a_unit_that_is_refused_leaves_no_job_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "launcher_here", lambda: launch.UNIT)
    wanted = job("wait", tmp_path)
    with pytest.raises(EngineError, match="Access denied"):
        launch.start(wanted, FakeClock(), Commands(_Systemd((1, "Access denied"))))
    assert launch.running(wanted, FakeClock()) is None
