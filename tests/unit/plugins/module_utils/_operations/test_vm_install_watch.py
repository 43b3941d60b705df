# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, ImageOpsError, TimedOut
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.lifecycle import Lifecycle
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_install_watch, vm_screenshot
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_watch import Watch
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock

SHUT_DOWN = "shut down"


class World(FakeClock):
    """A machine that says and does things at given moments; it is its own clock, libvirt and progress."""

    connection: Any = None

    def __init__(self, log: Path, *starts: Sequence[tuple[float, str, str]]) -> None:
        super().__init__()
        self.log, self.starts = log, list(starts)
        self.began, self.acts, self.from_disk = 0.0, list[tuple[float, str, str]](), list[bool]()
        self.end, self.rebooted, self.told = "", 0, list[str]()
        self.agent = self.gone = False

    def begin(self, from_disk: bool) -> Any:
        self.from_disk.append(from_disk)
        self.began, self.end, self.rebooted, self.acts = self.moment, "", 0, list(self.starts.pop(0))
        return self

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        while self.acts and self.acts[0][0] <= self.moment - self.began:
            _when, what, text = self.acts.pop(0)
            if what == "say":
                with self.log.open("a") as stream:
                    stream.write(text + "\n")
            elif what == "end":
                self.end = text
            elif what == "agent":
                self.agent = True
            elif what == "gone":
                self.gone = True
            else:
                self.rebooted += 1

    # libvirt
    is_orderly = staticmethod(Lifecycle.is_orderly)

    def end_of(self, _name: str) -> str:
        return self.end

    def reboots(self, _name: str) -> int:
        return self.rebooted

    def require_alive(self) -> None:
        if self.gone:
            raise EngineError("libvirt's daemon went away meanwhile; run the task again.")

    def shutdown(self) -> None:
        self.acts.append((self.moment - self.began + 1, "end", SHUT_DOWN))

    def destroy(self) -> None:
        self.end = "stopped from outside"

    # progress
    def say(self, text: str) -> None:
        self.told.append(text)


def follow(world: World, *, again: bool = True, **finish: Any) -> Watch:
    wanted = {
        "when": "poweroff", "console": "", "failure": "", "progress": "", "timeout": 100, "reboot_ends": True, "screenshot": "", **finish,
    }  # fmt: skip
    watch = Watch("x", wanted, str(world.log), world, world, world)  # type: ignore[arg-type]
    watch.follow(world.begin, again_from_disk=again)
    return watch


def test_the_end_is_a_power_off(tmp_path: Path) -> None:
    world = World(tmp_path / "log", [(1, "say", "partitioning"), (9, "say", "done"), (9, "end", SHUT_DOWN)])
    assert follow(world).reboots == 0
    assert world.told[0] == "partitioning" and world.from_disk == [False]


def test_only_lines_worth_it_are_shown(tmp_path: Path) -> None:
    acts = [(1, "say", "dots ..."), (5, "say", "step: one"), (6, "say", "dots ..."), (20, "end", SHUT_DOWN)]
    world = World(tmp_path / "log", acts)
    follow(world, progress="^step:")
    assert set(world.told) == {"step: one"}


def test_the_console_of_the_new_system_ends_it(tmp_path: Path) -> None:
    world = World(tmp_path / "log", [(5, "end", SHUT_DOWN)], [(3, "say", "web login:")])
    watch = follow(world, when="console", console="login:$")
    assert watch.reboots == 1 and world.from_disk == [False, True] and world.end == SHUT_DOWN


def test_a_new_system_that_dies_while_it_shuts_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had not written yet is lost, so the disk is none to publish."""
    world = World(tmp_path / "log", [(3, "say", "web login:")])
    monkeypatch.setattr(world, "shutdown", lambda: setattr(world, "end", "crashed"))
    with pytest.raises(EngineError, match="was finished, but crashed before it had shut down"):
        follow(world, when="console", console="login:$")


def test_a_restart_with_our_kernel_begins_again_from_the_disk(tmp_path: Path) -> None:
    world = World(tmp_path / "log", [(5, "reboot", "")], [(3, "say", "login:")])
    assert follow(world, when="console", console="login:").reboots == 1
    assert world.from_disk == [False, True]


def test_a_restart_from_a_cd_goes_on_by_itself(tmp_path: Path) -> None:
    world = World(tmp_path / "log", [(5, "reboot", ""), (7, "reboot", ""), (9, "end", SHUT_DOWN)])
    assert follow(world, again=False, reboot_ends=False).reboots == 2
    assert world.from_disk == [False]


def test_the_agent_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "log", [(30, "agent", "")])
    monkeypatch.setattr(vm_install_watch.agent, "answers", lambda domain: domain.agent)
    follow(world, when="agent")
    assert world.end == SHUT_DOWN


@pytest.mark.parametrize("end", ["died", "stopped from outside", "crashed"])
def test_a_machine_that_dies(tmp_path: Path, end: str) -> None:
    world = World(tmp_path / "log", [(1, "say", "half"), (2, "end", end)])
    with pytest.raises(EngineError, match=f"{end} before it was finished; .*\nhalf") as caught:
        follow(world)
    assert caught.value.details["console_tail"] == ["half"]


def test_a_line_that_tells_of_a_failure(tmp_path: Path) -> None:
    world = World(tmp_path / "log", [(2, "say", "ERROR: no disk"), (3, "end", SHUT_DOWN)])
    with pytest.raises(EngineError, match="failed: ERROR: no disk"):
        follow(world, failure="^ERROR: .*")


def test_time_that_is_up_takes_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_screenshot, "take_picture", lambda connection, domain, path: {"path": path})
    world = World(tmp_path / "log", [])
    with pytest.raises(TimedOut, match="not finished within 100 seconds; its console said nothing") as caught:
        follow(world, screenshot=str(tmp_path))
    assert caught.value.details["screenshot"] == str(tmp_path / "x.png")


@pytest.mark.parametrize("error", [EngineError("no screen"), OSError(28, "full")])
def test_why_there_is_no_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_words: Any) -> None:
        raise error

    monkeypatch.setattr(vm_screenshot, "take_picture", fail)
    with pytest.raises(ImageOpsError) as caught:
        follow(World(tmp_path / "log", []), screenshot=str(tmp_path))
    assert "screen" in caught.value.details["screenshot_error"] or "full" in caught.value.details["screenshot_error"]


def test_a_new_system_that_does_not_shut_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "log", [(1, "say", "login:")])
    monkeypatch.setattr(world, "shutdown", lambda: None)
    with pytest.raises(TimedOut, match="did not shut down"):
        follow(world, when="console", console="login:")


def test_a_daemon_that_goes_away(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="libvirt's daemon went away"):
        follow(World(tmp_path / "log", [(3, "gone", "")]))


def test_a_system_that_does_not_look_yet_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(tmp_path / "log", [(1, "say", "login:")])
    asked: list[float] = []

    def shutdown() -> None:
        asked.append(world.moment)
        world.end = SHUT_DOWN if len(asked) == 3 else ""

    monkeypatch.setattr(world, "shutdown", shutdown)
    follow(world, when="console", console="login:")
    assert len(asked) == 3 and asked[2] - asked[0] == pytest.approx(20)
