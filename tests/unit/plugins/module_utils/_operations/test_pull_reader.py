# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    EngineError,
    ImageOpsError,
    InUse,
    NoSpace,
    TimedOut,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations import pull_domain, pull_reader
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.pull_domain import require_readable
from ansible_collections.imageops.fleet.plugins.module_utils._operations.pull_reader import pull_backup
from ansible_collections.imageops.fleet.plugins.module_utils._operations.pull_source import Source, pull_folder


class Clock:
    """Looks five times."""

    def wait_until(self, predicate: Any, timeout: float, **_more: Any) -> bool:
        return any(predicate() for _turn in range(5))


class World:
    """A running VM whose backup is only a word."""

    name, uuid, active = "web", "1-2", True

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.socket: str | None = None
        self.ended = 0
        self.begun: dict[str, Any] = {}
        self.there = True
        for name, stand_in in {
            "backup_socket": lambda domain: self.socket,
            "end_backup": lambda domain: self.end(),
            "begin_pull": lambda domain, **how: self.begin(**how),
            "process_owner": lambda domain: (os.geteuid(), os.getegid()),
            "library": lambda: None,
        }.items():
            monkeypatch.setattr(pull_domain, name, stand_in)
        monkeypatch.setattr(pull_reader, "NbdClient", lambda *_all, **_more: Client())
        monkeypatch.setattr(pull_domain.Connection, "open", lambda uri: self.open())
        self.tools = Tools(clock=Clock(), connect=lambda uri: self)  # type: ignore[arg-type, return-value]

    def open(self) -> World:
        if not self.there:
            raise EngineError("no daemon")
        return self

    def close(self) -> None:
        pass

    def domain(self, name: str) -> World:
        return self

    def capacity(self, target: str) -> int:
        return 1 << 20

    def begin(self, *, socket: str, scratch: dict[str, str]) -> None:
        self.socket, self.begun = socket, {target: os.path.exists(path) for target, path in scratch.items()}

    def end(self) -> None:
        self.socket, self.ended = None, self.ended + 1


class Client:
    size = 1 << 20

    def read(self, offset: int, length: int) -> bytearray:
        return bytearray(b"x" * length)

    def close(self) -> None:
        pass


@pytest.fixture
def world(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


SOURCE = Source("web", "qemu:///system")


def test_disks_are_read_and_nothing_stays(world: World) -> None:
    with pull_backup(SOURCE, ["vda", "vdb"], tools=world.tools) as disks:
        assert world.begun == {"vda": True, "vdb": True} and sorted(disks) == ["vda", "vdb"]
        assert os.stat(pull_folder("1-2")).st_mode & 0o777 == 0o700
        assert disks["vda"].read(0, 3) == b"xxx"
    assert world.ended == 1 and not os.path.exists(pull_folder("1-2"))


def test_what_a_killed_run_left_is_ended_first(world: World) -> None:
    os.makedirs(pull_folder("1-2"))
    world.socket = f"{pull_folder('1-2')}/socket"
    with pull_backup(SOURCE, ["vda"], tools=world.tools):
        assert world.ended == 1
    assert world.ended == 2


def test_a_backup_that_another_job_of_ours_reads_is_no_stale_one(world: World) -> None:
    with pull_backup(SOURCE, ["vda"], tools=world.tools) as disks:
        with (
            pytest.raises(InUse, match="another job reads the disks of web"),
            pull_backup(SOURCE, ["vda"], tools=world.tools),
        ):
            pass
        assert world.ended == 0 and disks["vda"].read(0, 3) == b"xxx"
    with pull_backup(SOURCE, ["vda"], tools=world.tools):
        assert world.ended == 1


@pytest.mark.parametrize("socket", ["", "/run/of-others/socket"])
def test_a_backup_of_others_is_left_alone(world: World, socket: str) -> None:
    world.socket = socket
    with pytest.raises(InUse, match="somebody else's backup of web"):
        require_readable(world)  # type: ignore[arg-type]
    with pytest.raises(InUse, match="somebody else's backup of web"), pull_backup(SOURCE, ["vda"], tools=world.tools):
        pass
    assert world.ended == 0


def test_a_backup_that_broke_off_was_not_whole(world: World) -> None:
    with (
        pytest.raises(EngineError, match="ended before all was read"),
        pull_backup(SOURCE, ["vda"], tools=world.tools),
    ):
        world.socket = None


def test_it_is_ended_whatever_is_raised_inside(world: World) -> None:
    with pytest.raises(KeyError), pull_backup(SOURCE, ["vda"], tools=world.tools):
        raise KeyError
    assert world.ended == 1 and not os.path.exists(pull_folder("1-2"))


def test_a_daemon_that_does_not_come_back(world: World) -> None:
    with pytest.raises((TimedOut, EngineError)), pull_backup(SOURCE, ["vda"], tools=world.tools):
        world.there = False


def test_the_guest_is_spared_a_full_file_system(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NoSpace, match="for the guest's sake"), pull_backup(SOURCE, ["vda"], tools=world.tools) as disks:
        monkeypatch.setattr(pull_reader, "LEAST_ROOM", 1 << 62)
        disks["vda"].read(0, 1)
    assert world.ended == 1


def test_a_vm_that_stopped(world: World) -> None:
    world.active = False
    with (
        pytest.raises(ImageOpsError, match="web doesn't run any more"),
        pull_backup(SOURCE, ["vda"], tools=world.tools),
    ):
        pass
