# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible_collections.imageops.fleet.plugins.plugin_utils import _long_task
from ansible_collections.imageops.fleet.plugins.plugin_utils._long_task import LongTask, poll_command

PENDING = {"as": "changed", "timeout": 0, "request": "r", "pid": os.getpid(), "job": "j"}


class Task(LongTask):
    """A task whose module and whose shell are scripts; `attended` is what each module run was told."""

    def __init__(self, *, runs: list[Any], shell: list[Any] | None = None, **task: Any) -> None:
        self._runs_left, self._shell_left = list(runs), list(shell or [])
        self.attended: list[Any] = []
        self.resets = 0
        self._task = SimpleNamespace(
            **{
                "async_val": 0,
                "check_mode": False,
                "environment": [{"A": "b"}],
                "timeout": 0,
                "no_log": False,
                "delegate_to": None,
                "args": {},
                **task,
            }
        )
        self._connection = SimpleNamespace(
            has_native_async=False, reset=self._reset, _shell=SimpleNamespace(tmpdir=None)
        )

    def _reset(self) -> None:
        self.resets += 1

    def _execute_module(self, **options: Any) -> dict[str, Any]:
        told = [each[_long_task.ATTENDED_VARIABLE] for each in self._task.environment if len(each) and "A" not in each]
        self.attended.append(json.loads(told[0]) if told else options)
        return dict(_next(self._runs_left))

    def _low_level_execute_command(self, command: str) -> dict[str, Any]:
        return {"stdout": _next(self._shell_left)}

    def _remove_tmp_path(self, path: str | None) -> None:
        assert path is None


def _next(answers: list[Any]) -> Any:
    answer = answers.pop(0)
    if isinstance(answer, Exception):
        raise answer
    return answer


class Time:
    """Passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is displayed, on standard error only; time passes at once."""
    lines: list[str] = []

    def display(text: str, *, stderr: bool) -> None:
        assert stderr
        lines.append(text)

    monkeypatch.setattr(_long_task, "Display", lambda: SimpleNamespace(display=display))
    monkeypatch.setattr(_long_task, "time", Time())
    monkeypatch.setattr(_long_task.ActionBase, "run", lambda self, tmp=None, task_vars=None: {})
    yield lines


def pending(**more: Any) -> dict[str, Any]:
    return {
        "changed": False,
        "disks": [{"dest": "a", "changed": False, "pending": True, "steps": ["convert"]}],
        "pending": {"j": {**PENDING, "folder": "/jobs/j", **more}},
        "result": "disks",
    }


def done(**item: Any) -> dict[str, Any]:
    return {"changed": True, "disks": [{"dest": "a", "changed": True, "job": {"id": "j"}, "steps": [], **item}]}


def state(status: str, **more: Any) -> str:
    return json.dumps({"id": "j", "status": status, "target": "/a", "phase": "convert", **more}) + "\nalive\n"


def run(task: Task) -> dict[str, Any]:
    return task.run(task_vars={"inventory_hostname": "web1"})


def test_one_run_when_nothing_goes_on(said: list[str]) -> None:
    task = Task(runs=[{"changed": False, "disks": []}])
    assert run(task) == {"changed": False, "disks": []}
    assert task.attended == [{}]
    assert task._task.environment == [{"A": "b"}]
    assert said == []


def test_a_job_is_waited_for_and_its_end_is_taken(said: list[str]) -> None:
    going = [state("running", percent=10 * number) for number in range(5)]
    task = Task(runs=[pending(), done()], shell=[*going, state("done")])
    result = run(task)
    assert result["changed"] and "pending" not in result and "result" not in result
    assert result["disks"] == [{"dest": "a", "changed": True, "job": {"id": "j"}, "steps": ["convert"]}]
    assert task.attended[1]["j"].pop("waited") > 3
    assert task.attended[1] == {"j": {"as": "changed", "timeout": 0, "request": "r"}}
    assert said and all(line.startswith("web1: /a: convert") for line in said)


@pytest.mark.parametrize(
    "look",
    [state("failed"), state("cancelled"), "\ngone\n", state("running").replace("alive", "gone"), "", "sudo: no\n"],
)
def test_the_module_looks_when_a_job_may_be_over(look: str) -> None:
    task = Task(runs=[pending(), done()], shell=[state("running"), look])
    run(task)
    assert len(task.attended) == 2


def test_a_time_limit_ends_the_wait() -> None:
    task = Task(runs=[pending(timeout=5), done()], shell=[state("running")] * 20)
    run(task)
    assert 5 <= task.attended[1]["j"]["waited"] < 8


def test_jobs_that_follow_are_waited_for_too() -> None:
    later = pending()
    later["pending"] = {"k": {**PENDING, "folder": "/jobs/k"}}
    task = Task(runs=[pending(), later, done()], shell=[state("done"), state("done")])
    run(task)
    assert [sorted(told) for told in task.attended] == [[], ["j"], ["j", "k"]]


def test_a_link_that_is_cut_for_a_while() -> None:
    away = AnsibleConnectionFailure("away")
    task = Task(runs=[pending(), away, done()], shell=[away, away, state("running"), away, state("done")])
    assert run(task)["changed"]
    assert task.resets == 4


def test_a_host_that_stays_away() -> None:
    task = Task(runs=[pending()], shell=[AnsibleConnectionFailure("away")] * 50, args={"lease_timeout": 10})
    with pytest.raises(
        AnsibleConnectionFailure, match="could not be reached for 10 seconds while the task waited for j"
    ):
        run(task)


def test_without_a_controller_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    parents = iter([1000, 1])
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    with pytest.raises(SystemExit):
        run(Task(runs=[pending()]))


def test_a_secret_task_shows_nothing(said: list[str]) -> None:
    run(Task(runs=[pending(), done()], shell=[*[state("running")] * 9, state("done")], no_log=True))
    assert said == []


@pytest.mark.parametrize("options", [{"async_val": 60}, {"check_mode": True}])
def test_the_module_waits_itself(options: dict[str, Any]) -> None:
    task = Task(runs=[{"changed": True}], **options)
    assert run(task) == {"changed": True}
    assert task.attended[0]["wrap_async"] == bool(options.get("async_val"))


def test_the_poll_renews_leases_and_tells_states(tmp_path: Path) -> None:
    folder = tmp_path / "a job's"
    folder.mkdir()
    (folder / "lease").touch()
    (folder / "state.json").write_text('{"id": "j"}')
    os.utime(folder / "lease", (1, 1))
    jobs = {
        "j": {"folder": str(folder), "pid": os.getpid()},
        "k": {"folder": str(tmp_path / "none"), "pid": 0},
    }
    told = subprocess.run(
        ["sh", "-c", poll_command(jobs, look=0.05)], capture_output=True, text=True, check=True
    ).stdout
    assert told == '{"id": "j"}\nalive\n\ngone\n'
    assert (folder / "lease").stat().st_mtime > 1
    assert not (tmp_path / "none").exists()


def test_the_poll_watches_until_the_first_process_ends(tmp_path: Path) -> None:
    with (
        subprocess.Popen(["sleep", "30"]) as long,
        subprocess.Popen(["sh", "-c", "read word"], stdin=subprocess.PIPE) as short,
    ):
        jobs = {str(one.pid): {"folder": str(tmp_path / "none"), "pid": one.pid} for one in (long, short)}
        command = ["sh", "-c", poll_command(jobs, look=0.01)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as poll:
            short.communicate(b"end\n")
            told, _nothing = poll.communicate()
        assert told.split() == ["alive", "gone"]
        watched = subprocess.run([*command[:2], f"{command[2]}; echo $n"], capture_output=True, text=True, check=True)
        assert watched.stdout.split() == ["alive", "gone", "0"]
        watch = poll_command({"a": {"folder": "/none", "pid": long.pid}}, look=0.5)
        watched = subprocess.run(["sh", "-c", f"{watch}; echo $n"], capture_output=True, text=True, check=True)
        assert watched.stdout.split() == ["alive", "2"]
        long.kill()


def test_a_job_without_its_process_is_not_looked_at_without_end() -> None:
    gone = state("running").replace("alive", "gone")
    task = Task(runs=[pending(), pending(), pending(), done()], shell=[gone, gone, gone])
    run(task)
    assert [round(told["j"]["waited"]) for told in task.attended[1:]] == [0, 1, 2]
