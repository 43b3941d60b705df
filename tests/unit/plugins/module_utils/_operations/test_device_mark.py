# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict
from ansible_collections.imageops.fleet.plugins.module_utils._operations import device_mark
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record

RECORD = Record("convert", "raw", 512, source={"path": "/s"}, options={"a": 1}, tool="t")


class Device:
    """A device as the kernel tells of it."""

    def __init__(self) -> None:
        self.identity: dict[str, Any] = {"numbers": [7, 0], "size": 512, "boot": "b", "diskseq": "1"}
        self.writes = [1, 2]


@pytest.fixture
def device(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    made = Device()
    monkeypatch.setattr(device_mark, "identity", lambda path: made.identity)
    monkeypatch.setattr(device_mark, "_writes", lambda path: made.writes)
    return made


def test_a_device_that_was_never_written(device: Device) -> None:
    assert device_mark.read_mark("/dev/x") is None


def test_unfinished_then_finished(device: Device) -> None:
    device_mark.mark_unfinished("/dev/x")
    found = device_mark.read_mark("/dev/x")
    assert found is not None and found.unfinished
    device_mark.mark_finished("/dev/x", RECORD)
    assert device_mark.read_mark("/dev/x") == device_mark.Mark(RECORD, clean=True)


def test_writes_are_noticed(device: Device) -> None:
    device_mark.mark_finished("/dev/x", RECORD)
    device.writes = [2, 2]
    found = device_mark.read_mark("/dev/x")
    assert found is not None and not found.clean and found.record == RECORD
    device_mark.renew_mark("/dev/x", RECORD)
    found = device_mark.read_mark("/dev/x")
    assert found is not None and not found.clean


@pytest.mark.parametrize(("key", "value"), [("boot", "c"), ("diskseq", "2"), ("size", 1024), ("numbers", [7, 1])])
def test_another_device_has_no_mark(device: Device, key: str, value: object) -> None:
    device_mark.mark_finished("/dev/x", RECORD)
    device.identity = {**device.identity, key: value}
    assert device_mark.read_mark("/dev/x") is None


def test_a_mark_of_a_newer_version(device: Device, state_dir: Path) -> None:
    device_mark.mark_finished("/dev/x", RECORD)
    [path] = (state_dir / "devices").iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": 99}))
    with pytest.raises(Conflict, match="newer version"):
        device_mark.read_mark("/dev/x")
    path.write_text("{")
    assert device_mark.read_mark("/dev/x") is None


def test_what_the_kernel_tells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, part = tmp_path / "sda", tmp_path / "sda" / "sda1"
    part.mkdir(parents=True)
    (part / "partition").write_text("1\n")
    (disk / "stat").write_text(" ".join(map(str, range(17))) + "\n")
    monkeypatch.setattr(device_mark, "_SYSFS", str(part))
    assert device_mark._writes("/dev/null") == [4, 6, 11, 13]
