# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    EngineError,
    InUse,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations import pull_reader
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.pull_reader import pull_backup
from ansible_collections.imageops.fleet.plugins.module_utils._operations.pull_source import (
    Source,
    process_key,
    pull_folder,
)
from ansible_collections.imageops.fleet.tests.unit.qmp_backups import machine_with_two_disks, pretend_backups
from ansible_collections.imageops.fleet.tests.unit.qmp_pretender import Machine


@pytest.fixture(autouse=True)
def world(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_backups(monkeypatch)


@pytest.fixture
def tools() -> Iterator[Tools]:
    found = Tools(version="1")
    yield found
    found.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machine_with_two_disks(tmp_path) as found:
        yield found


def source(machine: Machine) -> Source:
    return Source("web", f"qmp://{machine.path}")


def left(machine: Machine) -> list[Any]:
    """What a backup leaves in the process and on disk."""
    folder = pull_folder(process_key(machine.path))
    return [*machine.jobs, *machine.exports, *machine.nodes, *([machine.server] if machine.server else []),
            *([folder] if os.path.exists(folder) else [])]  # fmt: skip


def test_disks_are_read_and_nothing_stays(machine: Machine, tools: Tools) -> None:
    with pull_backup(source(machine), ["vda", "vdb"], tools=tools) as disks:
        assert sorted(machine.exports.values()) == ["vda", "vdb"] and len(machine.jobs) == 2
        assert disks["vda"].read(0, 3) == b"xxx"
        assert os.stat(pull_folder(process_key(machine.path))).st_mode & 0o777 == 0o700
    assert left(machine) == []


@pytest.mark.parametrize("command", ["block-export-add", "blockdev-add", "transaction"])
def test_what_did_not_begin_leaves_nothing(machine: Machine, tools: Tools, command: str) -> None:
    machine.fail[command] = "no"
    with pytest.raises(EngineError), pull_backup(source(machine), ["vda", "vdb"], tools=tools):
        pass
    assert left(machine) == []


def test_it_ends_whatever_is_raised_inside(machine: Machine, tools: Tools) -> None:
    with pytest.raises(KeyError), pull_backup(source(machine), ["vda"], tools=tools):
        raise KeyError
    assert left(machine) == []


@pytest.mark.parametrize("tidied", [False, True])
def test_what_a_killed_run_left_is_ended_first(
    machine: Machine, tools: Tools, tidied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = pull_backup(source(machine), ["vda", "vdb"], tools=tools)
    with monkeypatch.context() as dead:
        # Its lock ended with it.
        dead.setattr(pull_reader, "wait_for_lock", lambda *_name, **_how: os.open(os.devnull, os.O_RDONLY))
        stale.__enter__()
    if tidied:
        # A job's next run removes what it said it leaves before it begins.
        shutil.rmtree(pull_folder(process_key(machine.path)))
    with pull_backup(source(machine), ["vda"], tools=tools):
        assert list(machine.exports.values()) == ["vda"]
    assert left(machine) == []


def test_a_job_that_ended_early_was_not_whole(machine: Machine, tools: Tools) -> None:
    with (
        pytest.raises(EngineError, match="ended before all was read"),
        pull_backup(source(machine), ["vda"], tools=tools),
    ):
        machine.jobs.clear()
    assert left(machine) == []


def test_a_process_that_ended_was_not_whole(machine: Machine, tools: Tools) -> None:
    with (
        pytest.raises(EngineError, match="ended before all was read"),
        pull_backup(source(machine), ["vda"], tools=tools),
    ):
        machine.end()
    assert not os.path.exists(pull_folder(process_key(machine.path)))


def test_a_disk_that_is_gone(machine: Machine, tools: Tools) -> None:
    with pytest.raises(EngineError, match="no disk vdc any more"), pull_backup(source(machine), ["vdc"], tools=tools):
        pass
    assert left(machine) == []


@pytest.mark.parametrize("exports", [{}, {"theirs": "x"}])
def test_the_nbd_server_of_others_is_left_alone(
    machine: Machine, tools: Tools, tmp_path: Path, exports: dict[str, str]
) -> None:
    machine.server = socket.socket(socket.AF_UNIX)
    machine.exports.update(exports)
    with (
        pytest.raises(InUse, match="another use of its NBD server"),
        pull_backup(source(machine), ["vda"], tools=tools),
    ):
        pass
    assert machine.server and machine.exports == exports and not machine.jobs and not machine.nodes
