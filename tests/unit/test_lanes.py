# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stages of tests/run: lanes side by side, order, what waits for what, and what is printed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

import lanes
import running
import stages
from lanes import Lanes, Outcome, Stage

NOTE = "echo '{0} begins' >>order; echo 'said by {0}'; echo '{0} ends' >>order"
# Written by a stage of the other lane; the limit is for a test that would else hang.
WAIT = "for turn in $(seq 6000); do test -e {0} && exit 0; sleep 0.05; done; exit 1"
MEET = f"touch {{0}}; {WAIT.format('{1}')}"


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "PAUSE", 0.01)
    monkeypatch.setattr(running, "PATIENCE", 0.1)


def note(name: str, *needs: str) -> Stage:
    """Notes in a file when it begins and ends."""
    return Stage(name, NOTE.format(name), needs)


def run(folder: Path, *found: list[Stage]) -> dict[str, Outcome]:
    made = Lanes(found, logs=folder / "logs", folder=folder, environment=os.environ)
    return {outcome.stage: outcome for outcome in made.run()}


def results(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: outcome.result for name, outcome in outcomes.items()}


def order(folder: Path) -> list[str]:
    return (folder / "order").read_text(encoding="utf-8").splitlines()


def test_two_lanes_run_side_by_side(tmp_path: Path) -> None:
    found = run(tmp_path, [Stage("one", MEET.format("a", "b"))], [Stage("two", MEET.format("b", "a"))])
    assert results(found) == {"one": "passed", "two": "passed"}


def test_a_lane_keeps_its_order(tmp_path: Path) -> None:
    run(tmp_path, [note("one"), note("two"), note("three")], [])
    assert order(tmp_path) == [f"{name} {word}" for name in ("one", "two", "three") for word in ("begins", "ends")]


def test_a_stage_waits_for_those_that_it_needs_in_any_lane(tmp_path: Path) -> None:
    slow = Stage("slow", f"sleep 0.3; {NOTE.format('slow')}")
    found = run(tmp_path, [slow], [note("first"), note("waits", "slow", "first"), note("last")])
    assert set(results(found).values()) == {"passed"}
    assert order(tmp_path) == [
        f"{name} {word}" for name in ("first", "slow", "waits", "last") for word in ("begins", "ends")
    ]


def test_a_lane_may_begin_with_one_that_waits_for_a_later_lane(tmp_path: Path) -> None:
    assert results(run(tmp_path, [note("waits", "other")], [note("other")])) == {"other": "passed", "waits": "passed"}


@pytest.mark.parametrize("script, result", [("exit 4", "FAILED (4)"), ("exit 3", "not run here")])
def test_what_needs_a_stage_that_did_not_pass_fails_without_running(tmp_path: Path, script: str, result: str) -> None:
    found = run(tmp_path, [Stage("fleet", script), note("needy", "fleet"), note("other")], [note("elsewhere")])
    assert results(found) == {"fleet": result, "needy": "FAILED (no fleet)", "other": "passed", "elsewhere": "passed"}
    assert "needy begins" not in order(tmp_path)


@pytest.mark.parametrize("script", ["exit 0", "exit 4"])
def test_a_stage_comes_after_others_whatever_became_of_them(tmp_path: Path, script: str) -> None:
    slow = Stage("slow", f"sleep 0.2; touch ended; {script}")
    found = run(tmp_path, [slow], [Stage("tidy", "test -e ended", after=("slow",))])
    assert results(found)["tidy"] == "passed"


def test_what_nobody_does_or_waits_for_itself_is_not_waited_for(tmp_path: Path) -> None:
    found = run(tmp_path, [note("one", "nobody")], [note("two", "three"), note("three")])
    assert results(found) == {"one": "FAILED (no nobody)", "two": "FAILED (no three)", "three": "passed"}


def test_a_failure_is_kept_and_the_lane_goes_on(tmp_path: Path) -> None:
    found = run(tmp_path, [Stage("bad", "echo wrong; exit 7"), note("next")], [note("other")])
    assert results(found) == {"bad": "FAILED (7)", "next": "passed", "other": "passed"}
    assert lanes.log_of(tmp_path / "logs", "bad").read_text(encoding="utf-8") == "wrong\n"


def test_what_is_said_side_by_side_is_printed_one_stage_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "for turn in 1 2 3; do echo {0}; sleep 0.05; done"
    run(tmp_path, [Stage("one", words.format("a"))], [Stage("two", words.format("b"))])
    said = re.findall(r"^(?:[ab]|====|----)", capsys.readouterr().out, flags=re.MULTILINE)
    assert sorted([said[:5], said[5:]]) == [["====", *"aaa", "----"], ["====", *"bbb", "----"]]


def test_a_lane_alone_shows_at_once_what_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is printed before the stage ends: the stage ends only when that was printed."""
    shown = running.Running.show

    def show(self: running.Running) -> bool:
        (tmp_path / "shown").touch() if shown(self) else None
        return False

    monkeypatch.setattr(running.Running, "show", show)
    found = run(tmp_path, [Stage("one", "echo said; " + MEET.format("unused", "shown"))])
    assert results(found) == {"one": "passed"}


def test_silence_gives_a_sign_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each stage ends when its sign has been given."""
    say = Lanes._say

    def note_signs(self: Lanes, text: str) -> None:
        say(self, text)
        for name, last in (("one", "here"), ("two", "")):
            if re.fullmatch(rf"\.\.\.\. {name}: \d+ s, last: {last}", text):
                (tmp_path / name).touch()

    monkeypatch.setattr(lanes, "SILENCE", 0.1)
    monkeypatch.setattr(Lanes, "_say", note_signs)
    one, two = f"echo early; echo here; {WAIT.format('one')}", WAIT.format("two")
    assert results(run(tmp_path, [Stage("one", one)], [Stage("two", two)])) == {"one": "passed", "two": "passed"}


def test_a_stage_has_variables_of_its_own(tmp_path: Path) -> None:
    found = run(tmp_path, [Stage("one", 'test "$WORD" = mine && test -n "$PATH"', variables={"WORD": "mine"})])
    assert results(found) == {"one": "passed"}


def test_an_interruption_ends_the_children_and_theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that take no hint."""
    script = "trap '' TERM; echo $$ >{0}; bash -c 'echo $$ >{0}-child; sleep 60; true'; true"

    def interrupt(_seconds: float) -> None:
        if len(list(tmp_path.glob("pid-*-child"))) == 2:
            raise KeyboardInterrupt
        time.sleep(0.01)

    monkeypatch.setattr(lanes, "time", type("Time", (), {"monotonic": time.monotonic, "sleep": interrupt}))
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [Stage("one", script.format("pid-one"))], [Stage("two", script.format("pid-two"))])
    pids = [path.read_text(encoding="ascii").strip() for path in tmp_path.glob("pid-*")]
    assert len(pids) == 4
    limit = time.monotonic() + 60  # seconds; a killed process is there until the kernel has run it once more
    while any(alive(pid) for pid in pids) and time.monotonic() < limit:
        time.sleep(0.01)
    assert not [pid for pid in pids if alive(pid)]


def alive(pid: str) -> bool:
    """A zombie is not; an orphan may be one until somebody asks for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_the_stages_need_what_stands_before_them() -> None:
    names = [stage.name for stage in (stages.FLEET, *stages.STAGES)]
    assert len(set(names)) == len(names)
    for stage in stages.STAGES:
        assert all(need in names[: names.index(stage.name)] for need in stage.needs)


def test_the_fleet_has_lanes_of_its_own() -> None:
    found = stages.lanes_of(stages.STAGES, keep_fleet=False)
    without, with_fleet, other_hosts = ([stage.name for stage in lane] for lane in found)
    assert with_fleet == ["fleet", "smoke, installed", "integration, first host", "molecule", "demo", "fleet down"]
    assert other_hosts == ["integration, other hosts"]
    assert without[-1] == "faults, sample"
    assert sorted([*without, *with_fleet[1:-1], *other_hosts]) == sorted(stage.name for stage in stages.STAGES)
    assert stages.lanes_of(stages.STAGES, keep_fleet=True)[1][-1].name == "demo"


def test_the_fleet_goes_when_all_that_used_it_has_ended() -> None:
    assert stages.lanes_of(stages.STAGES, keep_fleet=False)[1][-1].after == (
        "integration, other hosts",
        "faults, sample",
    )
    assert stages.lanes_of(stages.chosen(["faults"]), keep_fleet=False)[1][-1].after == ("faults, sample",)
    assert stages.lanes_of(stages.chosen(["molecule"]), keep_fleet=False)[1][-1].after == ()


def test_scenarios_wait_for_the_other_hosts_where_these_run() -> None:
    waits = {stage.name: stage.after for lane in stages.lanes_of(stages.STAGES, keep_fleet=False) for stage in lane}
    assert waits["molecule"] == waits["demo"] == ("integration, other hosts",)
    assert stages.lanes_of(stages.chosen(["molecule"]), keep_fleet=False)[1][-2].after == ()


def test_the_fleet_is_started_only_for_what_needs_it() -> None:
    [only] = stages.lanes_of(stages.chosen(["ruff", "unit"]), keep_fleet=False)
    assert [stage.name for stage in only] == ["ruff", "unit", "unit, current Python", "unit, oldest Python"]


def test_what_a_chosen_stage_needs_is_chosen_too() -> None:
    assert [stage.name for stage in stages.chosen(["smoke"])] == ["build and install", "smoke, installed"]
    assert stages.chosen([]) == list(stages.STAGES)


def test_the_table_counts_and_ends_with_what_failed_stages_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(stages, "LOGS", tmp_path)
    lines = ["FAILED a.py::test - wrong", *(f"line {number}" for number in range(50))]
    (tmp_path / "bad.log").write_text("\n".join(lines), encoding="utf-8")
    told = [Outcome("good", "passed", 2), Outcome("bad", "FAILED (1)", 3), Outcome("no", "not run here", 0)]
    assert stages.table(told, 4) == 1
    said = capsys.readouterr().out
    assert said.endswith("line 49\n\n4 s\n1 passed, 1 failed\n")
    assert "FAILED a.py::test - wrong\nline 10\n" in said
    assert stages.table(told[:1], 2) == 0
    assert stages.table(told[2:], 2) == 1


def test_sigterm_ends_a_run_and_its_children(tmp_path: Path) -> None:
    """The whole of it, as CI ends it: the set-up stands for any stage."""
    script = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r})\n"
        "import stages, running\nfrom pathlib import Path\n"
        "running.PATIENCE = 0.1\n"
        f"stages.TOP, stages.LOGS = Path({str(tmp_path)!r}), Path({str(tmp_path / 'logs')!r})\n"
        "stages.SET_UP = stages.Stage('set-up', 'echo $$ >made; mv made pid; sleep 60; true')\n"
        "sys.exit(stages.main())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, "ruff"], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "pid").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 130
    assert "interrupted; what the stages said is in .build/stages" in said
    assert not alive((tmp_path / "pid").read_text(encoding="ascii").strip())
