# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import host
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_install_checks
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install import (
    OPERATION,
    job_of_request,
    plan_install,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_checks import machine_for
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, write_record
from ansible_collections.imageops.fleet.tests.unit.install_params import install_params

ANSWERS = {"kind": "preseed", "content": {"passwd/root-password": "hunter2"}}


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tools]:
    monkeypatch.setenv("IMAGEOPS_STATE_DIR", str(tmp_path / "state"))
    found = Tools(version="1")
    yield found
    found.close()


def finished(params: dict[str, Any], **changed: Any) -> None:
    """The disk, with the record of a finished installation."""
    request = read_request(params)
    Path(request.path).write_bytes(bytes(4096))
    values = {
        "operation": "install",
        "format": "qcow2",
        "virtual_size": 10 << 20,
        "source": {"media": request.made_from()},
        "options": request.declared(),
        **changed,
    }
    write_record(request.path, Record(**values))


def test_a_new_disk_is_one_step(tmp_path: Path, tools: Tools) -> None:
    plan = plan_install(install_params(tmp_path, answers=ANSWERS), tools)
    assert [step.title for step in plan.steps] == [f"install {tmp_path}/disk.qcow2 from {tmp_path}/linux"]
    assert plan.before["state"] == "absent"
    assert plan.after == {
        "path": f"{tmp_path}/disk.qcow2",
        "state": "installed",
        "format": "qcow2",
        "virtual_size": 10 << 20,
    }
    assert "hunter2" not in str(plan.before) + str(plan.after)
    assert sorted(os.listdir(tmp_path)) == ["initrd", "linux"]


@pytest.mark.parametrize("size", ["10MiB", None])
def test_a_finished_disk_is_left_alone(tmp_path: Path, tools: Tools, size: str | None) -> None:
    params = install_params(tmp_path, answers=ANSWERS)
    finished(params)
    (tmp_path / "linux").unlink()
    plan = plan_install({**params, "size": size, "memory": "1PiB"}, tools)
    assert not plan.changed and plan.observe()["state"] == "installed"
    assert not OPERATION.join({**params, "size": size}, tools)


@pytest.mark.parametrize(
    "given",
    [
        {"arguments": "other"},
        {"size": "20MiB"},
        {"answers": {"kind": "preseed", "content": "other"}},
        {"format": "raw"},
    ],
)
def test_a_disk_that_was_installed_otherwise(tmp_path: Path, tools: Tools, given: dict[str, Any]) -> None:
    params = install_params(tmp_path, answers=ANSWERS)
    finished(params)
    with pytest.raises(ImageOpsError, match="was installed with other media, answers or options"):
        plan_install({**params, **given}, tools)
    plan = plan_install({**params, **given, "force": True}, Tools(version="1"))
    assert plan.changed and "there, and was installed with other" in plan.before["state"]


def test_another_kernel_is_another_installation(tmp_path: Path, tools: Tools) -> None:
    params = install_params(tmp_path)
    finished(params)
    (tmp_path / "linux").write_bytes((tmp_path / "linux").read_bytes() + b"newer")
    with pytest.raises(ImageOpsError, match="with other media"):
        plan_install(params, tools)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": None}, "size: .* isn't installed yet"),
        ({"path": "/nowhere/x.qcow2"}, "/nowhere does not exist"),
        ({"kernel": "/nowhere/linux"}, "kernel: /nowhere/linux does not exist"),
        ({"initrd": "/etc/hostname"}, "initrd: /etc/hostname doesn't begin like"),
        ({"network": "none"}, "no network called none"),
        ({"bridge": "none"}, "no bridge called none"),
        ({"boot": "network", "kernel": None, "initrd": None}, "network: 'boot: network' without files"),
        ({"space": "1PiB"}, "needs about 1 PiB"),
        ({"timeout": -1}, "can't be waited"),
        ({"owner": "nobody-at-all"}, "no user 'nobody-at-all'"),
        (
            {"tftp_root": "/nowhere", "boot_file": "x", "kernel": None, "initrd": None},
            "tftp_root: /nowhere is no folder",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, tools: Tools, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ImageOpsError, match=said):
        plan_install(install_params(tmp_path, **given), tools)


def test_a_stranger_s_file(tmp_path: Path, tools: Tools) -> None:
    (tmp_path / "disk.qcow2").write_text("hello")
    with pytest.raises(ImageOpsError, match="exists and was made by something else"):
        plan_install(install_params(tmp_path), tools)


def test_a_folder_is_never_replaced(tmp_path: Path, tools: Tools) -> None:
    (tmp_path / "disk.qcow2").mkdir()
    with pytest.raises(ImageOpsError, match="is no regular file"):
        plan_install(install_params(tmp_path, force=True), tools)


def test_memory_that_the_host_does_not_have(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "memory", lambda: (8 << 30, 1 << 30))
    with pytest.raises(ImageOpsError, match="only 1 GiB are free"):
        plan_install(install_params(tmp_path, memory="2GiB"), tools)


def test_memory_of_installers_that_run_at_once(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "memory", lambda: (16 << 30, 9 << 30))
    many = [install_params(tmp_path, path=f"{tmp_path}/{number}.qcow2", memory="2GiB") for number in range(6)]
    # Four of the six.
    for params in many:
        plan_install(params, tools)
    monkeypatch.setattr(host, "memory", lambda: (16 << 30, 7 << 30))
    short = Tools(version="1")
    for params in many[:3]:
        plan_install(params, short)
    with pytest.raises(
        ImageOpsError, match="^memory: 4 installers that run at once shall have 8 GiB, .* only 7 GiB are"
    ):
        plan_install(many[3], short)


def test_uefi_where_there_is_none(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_install_checks, "has_uefi", lambda connection: False)
    with pytest.raises(ImageOpsError, match="knows no UEFI firmware"):
        plan_install(install_params(tmp_path, firmware="uefi"), tools)


def test_one_disk_for_two_items(tmp_path: Path, tools: Tools) -> None:
    params = install_params(tmp_path)
    plan_install(params, tools)
    with pytest.raises(ImageOpsError, match="belongs to two items"):
        plan_install({**params, "arguments": "other"}, tools)


def test_secrets_are_in_no_request(tmp_path: Path, tools: Tools) -> None:
    request = read_request(install_params(tmp_path, answers=ANSWERS))
    job = job_of_request(request, machine_for(request, tools.hypervisor(request.uri)), "1")
    assert "hunter2" not in str(job.params) and "hunter2" in job.secrets["answers"]
    assert job.id == OPERATION.job_id(install_params(tmp_path), tools)
