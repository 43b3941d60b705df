# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, MissingLibrary, NoSpace
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import storage_daemon
from ansible_collections.imageops.fleet.plugins.module_utils._qmp import client as qmp


class ExecuteError(Exception):
    pass


class QMPError(Exception):
    pass


class FakeClient:
    """Speaks one byte for one call; an answer of `x` is a refusal."""

    def __init__(self, name: str) -> None:
        self.runstate = "running"

    async def connect(self, connected: socket.socket) -> None:
        self.socket = connected

    async def execute(self, command: str, arguments: dict[str, Any]) -> Any:
        if command == "refuse":
            raise ExecuteError(arguments["said"])
        if command == "vanish":
            self.runstate = "disconnecting"
            raise QMPError("gone")
        if command == "quit":
            self.socket.sendall(b"q")
        return {"command": command, **arguments}

    async def disconnect(self) -> None:
        self.socket.close()


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    found = SimpleNamespace(
        QMPClient=FakeClient, ExecuteError=ExecuteError, QMPError=QMPError, Runstate=SimpleNamespace(RUNNING="running")
    )
    monkeypatch.setattr(qmp, "library", lambda: found)
    monkeypatch.setattr(storage_daemon, "library", lambda: found)


def program(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """A program in the daemon's place: `$fd` is its end of the connection."""
    path = folder / "daemon"
    path.write_text(f"#!/bin/bash\nfd=${{2##*=}}\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setattr(storage_daemon, "PROGRAM", str(path))


_SERVE = "head -c 1 <&$fd >/dev/null"


def test_images_are_closed_from_the_top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, _SERVE)
    said: list[str] = []
    execute = FakeClient.execute

    async def keep(self: FakeClient, command: str, arguments: dict[str, Any]) -> Any:
        said.append(f"{command} {arguments.get('node-name', '')}".strip())
        return await execute(self, command, arguments)

    monkeypatch.setattr(FakeClient, "execute", keep)
    with storage_daemon.storage_daemon() as daemon:
        daemon.add([{"node-name": "layer1"}, {"node-name": "layer0"}])
    assert said == ["blockdev-add layer1", "blockdev-add layer0", "blockdev-del layer0", "blockdev-del layer1", "quit"]


def test_it_inherits_the_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, f"echo held >&$LOCK\n{_SERVE}")
    handle = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    monkeypatch.setenv("LOCK", str(handle))
    with storage_daemon.storage_daemon(pass_fds=[handle]):
        pass
    os.close(handle)
    assert (tmp_path / "lock").read_text() == "held\n"


@pytest.mark.parametrize(
    ("script", "kind", "said"),
    [
        (f"{_SERVE}; exit 3", EngineError, "exit code 3"),
        (
            f"{_SERVE}; echo 'qemu: Failed to flush the L2 block cache: No space left on device' >&2",
            NoSpace,
            "Failed to flush",
        ),
        (f"{_SERVE}; kill -9 $$", EngineError, "SIGKILL"),
    ],
)
def test_a_bad_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, kind: type[Exception], said: str
) -> None:
    program(tmp_path, monkeypatch, script)
    with pytest.raises(kind, match=said), storage_daemon.storage_daemon():
        pass


def test_a_death_in_the_middle_is_told_by_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, "kill -9 $$")
    with pytest.raises(EngineError, match="SIGKILL"), storage_daemon.storage_daemon() as daemon:
        daemon.execute("vanish")


def test_given_up_work_ends_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, monkeypatch, f"{_SERVE}; touch {tmp_path}/ended")
    with pytest.raises(KeyboardInterrupt), storage_daemon.storage_daemon():
        raise KeyboardInterrupt
    assert (tmp_path / "ended").exists()


def test_a_program_that_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_daemon, "PROGRAM", "/nowhere/qemu-storage-daemon")
    with (
        pytest.raises(MissingLibrary, match="qemu-system-common or, from Debian 13 on, qemu-utils"),
        storage_daemon.storage_daemon(),
    ):
        pass
