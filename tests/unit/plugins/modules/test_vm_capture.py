# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures over an ssh that reads a file of this machine, with a guestfish that only says what the real one would."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._faults import FAULT_VARIABLE
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage
from ansible_collections.imageops.fleet.plugins.module_utils._operations.capture_source import ssh_command
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

from ..module_utils._formats.images import qemu_img
from ..module_utils._formats.written import MIB, TEXT, raw
from .test_image_build import FISH

pytestmark = pytest.mark.usefixtures("state_dir", "no_libvirt", "programs")
# The last word is what the other machine is asked.
SSH = r"""#!/bin/bash
echo "$*" >>FOLDER/ssh-log
[ ! -e FOLDER/cut ] || { head -c 1000 FOLDER/disk; echo 'Connection closed' >&2; exit 255; }
case "${@: -1}" in
  *blockdev*) stat -c %s FOLDER/disk;;
  *dd*) cat FOLDER/disk;;
esac
"""


@pytest.fixture
def no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage.world_of.__globals__["World"], "domains_using", lambda *arguments: [])
    monkeypatch.setattr(usage, "pool_folders", lambda tools: set())


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (("guestfish", FISH), ("ssh", SSH)):
        (folder / name).write_text(text.replace("FOLDER", str(folder)))
        (folder / name).chmod(0o755)
    raw(folder / "disk", 8 * MIB, (0, TEXT), (6 * MIB, TEXT))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    return path


def capture(folder: Path, **given: Any) -> dict[str, Any]:
    ssh = {"host": "other", "user": "root", "disk": "/dev/vda", **given.pop("ssh", {})}
    return run_module("vm_capture", {"path": str(folder / "image"), "ssh": ssh, **given})


def test_a_disk_of_another_machine_becomes_an_image(folder: Path, programs: Path) -> None:
    made = capture(folder)
    assert made["changed"], made
    assert made["captures"][0]["base"] == {"kind": "ssh", "host": "other", "disk": "/dev/vda"}
    qemu_img("compare", "-q", "-f", "raw", "-F", "qcow2", str(programs / "disk"), str(folder / "image"))
    assert not capture(folder)["changed"]
    assert capture(folder, force=True)["changed"]
    assert len(list(folder.iterdir())) == 2


def test_a_cut_leaves_what_was_there(folder: Path, programs: Path) -> None:
    capture(folder)
    before = (folder / "image").read_bytes()
    (programs / "cut").touch()
    failed = capture(folder, force=True)
    assert failed["failed"] and "Connection closed" in failed["msg"]
    assert (folder / "image").read_bytes() == before and len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("moment", ["while-reading", "taken", "generalised"])
def test_killed_the_next_run_captures(folder: Path, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, f"capture:{moment}:kill")
    assert capture(folder)["failed"]
    monkeypatch.delenv(FAULT_VARIABLE)
    assert not (folder / "image").exists()
    assert capture(folder)["changed"]
    assert len(list(folder.iterdir())) == 2


def test_the_machine_must_be_known_and_asks_for_nothing() -> None:
    told = {
        "host": "a", "port": 22, "user": "root", "key": "/k", "known_hosts": "/h", "sudo": True, "disk": "/dev/vda",
    }  # fmt: skip
    said = ssh_command(told, "dd if=/dev/vda")
    assert "StrictHostKeyChecking=yes" in said and "BatchMode=yes" in said and "UserKnownHostsFile=/h" in said
    assert said[-3:] == ["--", "a", "sudo -n dd if=/dev/vda"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"ssh": {"host": "-oProxyCommand=reboot"}}, "can't be a host"),
        ({"ssh": {"user": "a b"}}, "can't be a user"),
        ({"ssh": {"disk": "vda"}}, "not the absolute path of a disk"),
        ({"ssh": {"key": "/nowhere/key"}}, "there is no /nowhere/key"),
        ({"ssh": {"port": 0}}, "0 is no port"),
        ({"vm": "web1"}, "by either vm or ssh"),
        ({"quiesce": True}, "leave it out"),
    ],
)
def test_what_cant_be_is_refused(folder: Path, given: dict[str, Any], says: str) -> None:
    failed = capture(folder, **given)
    assert failed.get("failed") and says in failed["msg"]
    assert not list(folder.iterdir())
