# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_overlay import Backing, write_empty_qcow2

MIB, TIB = 1 << 20, 1 << 40


def written(path: Path, size: int, backing: Backing | None = None) -> Path:
    with path.open("wb") as stream:
        write_empty_qcow2(stream, size=size, backing=backing)
    return path


def asked(*words: str | Path) -> Any:
    return json.loads(subprocess.run(["qemu-img", *words], check=True, stdout=subprocess.PIPE).stdout)


@pytest.mark.parametrize("size", [512, MIB, 512 * MIB, 512 * MIB + 512, 10 * TIB, 2048 * TIB])
def test_qemu_finds_nothing_wrong(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "new.qcow2", size)
    assert asked("info", "--output=json", "-f", "qcow2", path)["virtual-size"] == size
    found = asked("check", "--output=json", "-f", "qcow2", path)
    assert (found["check-errors"], found.get("leaks", 0), found.get("corruptions", 0)) == (0, 0, 0)


@pytest.mark.parametrize("driver", ["raw", "qcow2", "vpc"])
def test_an_overlay_names_its_backing_file(tmp_path: Path, driver: str) -> None:
    path = written(tmp_path / "new.qcow2", MIB, Backing("/images/Größe {1}.img", driver))
    found = asked("info", "--output=json", "-f", "qcow2", path)
    assert (found["backing-filename"], found["backing-filename-format"]) == ("/images/Größe {1}.img", driver)


def test_an_overlay_reads_what_is_below_and_takes_writes(tmp_path: Path) -> None:
    base = tmp_path / "base.raw"
    base.write_bytes(b"\xab" * MIB)
    path = written(tmp_path / "over.qcow2", 2 * MIB, Backing(str(base), "raw"))
    commands = [
        "-c",
        "read -P 0xab 0 1M",
        "-c",
        "read -P 0 1M 1M",
        "-c",
        "write -P 0x11 512 70k",
        "-c",
        "read -P 0x11 512 70k",
    ]
    said = subprocess.run(
        ["qemu-io", "-f", "qcow2", *commands, path], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    ).stdout
    assert "failed" not in said
    assert base.read_bytes() == b"\xab" * MIB
    assert asked("check", "--output=json", "-f", "qcow2", path)["check-errors"] == 0


def test_it_takes_little_room(tmp_path: Path) -> None:
    assert written(tmp_path / "new.qcow2", 20 << 30).stat().st_blocks * 512 <= 128 << 10


@pytest.mark.parametrize(("size", "name"), [(2049 * TIB, "/base"), (MIB, "/" + "n" * 1023)])
def test_what_qemu_would_not_open_is_refused(tmp_path: Path, size: int, name: str) -> None:
    with pytest.raises(InvalidOption):
        written(tmp_path / "new.qcow2", size, Backing(name, "raw"))
