# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    EngineError,
    ImageOpsError,
    NotFound,
    TimedOut,
    UnsafeImage,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import qmp_socket
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.process_facts import owner_of
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.qmp_disks import read_disks
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.qmp_jobs import job_id, run_job
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.qmp_process import QemuProcess
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.qmp_screenshot import screenshot
from ansible_collections.imageops.fleet.plugins.module_utils._qmp import client
from ansible_collections.imageops.fleet.tests.unit.qmp_pretender import LIBRARY, PPM, Machine


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "library", lambda: LIBRARY)
    monkeypatch.setattr(qmp_socket, "library", lambda: LIBRARY)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "s", {"disk0": [tmp_path / "top.qcow2", tmp_path / "base.qcow2"]})


def test_what_it_tells(machine: Machine, tmp_path: Path) -> None:
    process = QemuProcess(machine.path)
    assert (process.name, process.uri, process.state, process.active) == (
        "web",
        f"qmp://{machine.path}",
        "running",
        True,
    )
    assert process.hardware() == {
        "memory": 65 << 20,
        "memory_now": 65 << 20,
        "vcpus": 2,
        "acceleration": {"type": "tcg", "reason": "as the process was started"},
        "qemu_version": "7.2.0",
    }
    (disk,) = process.disks()
    assert (disk.target, disk.path, disk.format, disk.size) == ("disk0", str(tmp_path / "top.qcow2"), "qcow2", 1 << 20)
    assert [layer.path for layer in disk.layers] == [str(tmp_path / "top.qcow2"), str(tmp_path / "base.qcow2")]
    process.close()


def test_a_process_without_a_name_is_called_by_its_socket(tmp_path: Path) -> None:
    process = QemuProcess(Machine(tmp_path / "router.sock", {}, name="").path)
    assert (process.name, process.own_name) == ("router", "")
    process.close()


@pytest.mark.parametrize(
    ("status", "state"),
    [("prelaunch", "paused"), ("io-error", "paused"), ("guest-panicked", "crashed"), ("save-vm", "running")],
)
def test_states(machine: Machine, status: str, state: str) -> None:
    machine.status = status
    process = QemuProcess(machine.path)
    assert process.state == state
    process.close()


def test_switches(machine: Machine) -> None:
    process = QemuProcess(machine.path)
    process.suspend()
    assert process.state == "paused"
    process.resume()
    process.shutdown()
    assert (process.state, process.active) == ("stopped", False)
    process.destroy()
    assert not process.active
    process.close()


@pytest.mark.parametrize("png", [True, False])
def test_the_screen_comes_through_a_handle(machine: Machine, png: bool) -> None:
    machine.png = png
    process = QemuProcess(machine.path)
    assert screenshot(process, most=1000) == PPM
    assert machine.said[-1] == "remove-fd"
    with pytest.raises(UnsafeImage, match="more than 5 bytes"):
        screenshot(process, most=5)
    machine.fail["screendump"] = "There is no console to take a screendump from"
    with pytest.raises(EngineError, match="no console"):
        screenshot(process, most=1000)
    process.close()


def test_a_job_that_fails_is_told_and_forgotten(machine: Machine) -> None:
    process = QemuProcess(machine.path)
    machine.fail["job snapshot-load"] = "Device does not have the snapshot."
    with pytest.raises(EngineError, match=r"failed at the job snapshot-load: Device does not have the snapshot\.$"):
        run_job(process, "snapshot-load", {}, identity="x", timeout=120)
    assert not machine.jobs
    process.close()


def test_a_job_that_does_not_end_is_given_up(machine: Machine) -> None:
    process = QemuProcess(machine.path)
    machine.jobs["x"] = {"id": "x", "type": "commit", "status": "running"}
    with pytest.raises(TimedOut, match="did not end the job commit within 0.05 seconds; it goes on"):
        run_job(process, "block-commit", {}, identity="x", timeout=0.05, finish=lambda: None)
    process.close()


def test_what_an_earlier_run_left_of_a_job_is_no_answer(machine: Machine) -> None:
    process = QemuProcess(machine.path)
    identity = job_id("load", "one")
    machine.jobs[identity] = {"id": identity, "type": "snapshot-load", "status": "concluded"}
    run_job(process, "snapshot-load", {}, identity=identity, timeout=120)
    assert machine.said[-3:] == ["job-dismiss", "snapshot-load", "job-dismiss"]
    process.close()


def listen(path: Path, greeting: bytes) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen(1)
    if greeting:
        import threading

        threading.Thread(target=lambda: listening.accept()[0].sendall(greeting), daemon=True).start()
    return listening


@pytest.mark.parametrize("greeting", [b"", b"220 mail ESMTP\r\n", b"{}\n"])
def test_what_is_no_monitor_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, greeting: bytes) -> None:
    monkeypatch.setattr(qmp_socket, "COMMAND_TIMEOUT", 0.3)
    with listen(tmp_path / "s", greeting), pytest.raises(EngineError, match="doesn't greet as QEMU's monitor does"):
        QemuProcess(str(tmp_path / "s"))


def test_what_is_no_machine_is_told(machine: Machine) -> None:
    machine.fail["query-status"] = "The command query-status has not been found"
    with pytest.raises(EngineError, match="is no virtual machine"):
        QemuProcess(machine.path)


def test_a_machine_that_hangs_is_given_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    process = QemuProcess(machine.path)
    monkeypatch.setattr(machine, "_answer", lambda *asked: __import__("time").sleep(1) or {"return": {}})
    with pytest.raises(TimedOut, match="did not answer stop within 0.1 seconds"):
        process.execute("stop", timeout=0.1)
    process.close()


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda path: None, NotFound, "no process listens"),
        (lambda path: path.write_text(""), Conflict, "is no unix socket"),
        (lambda path: listen(path, b"").close(), NotFound, "no process listens"),
    ],
)
def test_what_is_no_socket_is_refused(tmp_path: Path, make: object, kind: type[ImageOpsError], said: str) -> None:
    make(tmp_path / "s")  # type: ignore[operator]
    with pytest.raises(kind, match=said):
        QemuProcess(str(tmp_path / "s"))


def test_a_socket_of_another_user_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(qmp_socket, "_peer", lambda connected: (1, 4712))
    with pytest.raises(Conflict, match="belongs to the user 4712"):
        QemuProcess(machine.path)


def test_a_disk_that_a_job_works_on_is_what_lies_below() -> None:
    image = {"filename": "/a", "format": "raw", "virtual-size": 512}
    above = {**image, "format": "copy-before-write", "backing-image": {**image, "encrypted": True}}
    (disk,) = read_disks([{"device": "a", "inserted": {"node-name": "#top", "ro": False, "image": above}}])
    assert (disk.node, disk.format, disk.encrypted) == ("#top", "raw", True)
    assert [layer.path for layer in disk.layers] == ["/a"]


def test_whose_process_it_is(machine: Machine) -> None:
    process = QemuProcess(machine.path)
    assert process.owner == (os.geteuid(), os.getegid())
    process.close()
    assert owner_of(0) == (os.geteuid(), os.getegid())
