# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InvalidOption,
    NotFound,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    vm_clone,
    vm_clone_group,
    vm_clone_job,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit.qmp_backups import machine_with_two_disks, pretend_backups
from ansible_collections.imageops.fleet.tests.unit.qmp_pretender import Machine


class Quiet(Progress):
    """Tells nobody."""

    def __init__(self) -> None:
        pass

    def phase(self, name: str, *, total: int = 0) -> None:
        pass

    def update(self, done: int) -> None:
        pass

    def leaves(self, *paths: str) -> None:
        pass


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


def asked(machine: Machine, **more: Any) -> dict[str, Any]:
    return {
        "name": "copy", "source": None, "mode": "full", "state": "stopped", "directory": None, "mac": None, "wait_for": None,
        "snapshot": None, "quiesce": False, "quiesce_timeout": 10, "disks": None, "identity": "none", "tpm": "refuse",
        "serials": "new", "hypervisor": "qmp", "socket": machine.path, "uri": "qemu:///system", "bandwidth": None, "timeout": 0,
        "on_interrupt": "detach", "lease_timeout": 60, **more,
    }  # fmt: skip


def apply(plan: Plan, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Do what the job would."""

    def made(group: vm_clone_group.Group, tools: Tools, params: dict[str, Any]) -> dict[str, Any]:
        job = group.job("1")
        assert job.target == f"a clone of qmp://{params['socket']}"
        handle = os.open("/dev/null", os.O_RDONLY)
        try:
            return vm_clone_job.make_clones(job.params, Quiet(), handle)
        finally:
            os.close(handle)

    monkeypatch.setattr(vm_clone_group.Group, "make", made)
    for step in plan.steps:
        step.run()
    tools.forecast.clear()
    return plan.observe()


def plan(machine: Machine, tools: Tools, **more: Any) -> Plan:
    tools.forecast.clear()
    return vm_clone.plan_clone(asked(machine, **more), tools)


def test_a_clone_is_copies_of_the_disks(machine: Machine, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan(machine, tools)
    found = apply(first, tools, monkeypatch)
    folder = os.path.dirname(machine.path)
    assert found == first.after and [disk["path"] for disk in found["disks"]] == [
        f"{folder}/copy-vda.qcow2",
        f"{folder}/copy-vdb.qcow2",
    ]
    assert found["source"] == "web" and first.info["job"]["method"] == "pull"
    record = read_record(f"{folder}/copy-vda.qcow2")
    assert record and record.options == {"vm": "copy", "of": "web"}


def test_a_clone_that_is_there_stays(machine: Machine, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    found = apply(plan(machine, tools), tools, monkeypatch)
    with open(found["disks"][0]["path"], "ab") as stream:
        stream.write(b"what its guest wrote")
    again = plan(machine, tools)
    assert not again.changed and again.observe() == found


def test_disks_of_another_moment_are_made_again(
    machine: Machine, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = apply(plan(machine, tools), tools, monkeypatch)
    os.unlink(found["disks"][1]["path"])
    again = plan(machine, tools)
    assert again.steps[0].title.count("copy /") == 2
    with open(found["disks"][0]["path"], "ab") as stream:
        stream.write(b"what its guest wrote")
    with pytest.raises(Conflict, match="no unused clone of ours"):
        plan(machine, tools)


def test_a_disk_is_left_out(machine: Machine, tools: Tools, tmp_path: Path) -> None:
    found = plan(machine, tools, disks=[{"target": "vdb", "mode": "skip"}], directory=str(tmp_path)).after
    assert [disk["target"] for disk in found["disks"]] == ["vda"]


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"mode": "linked"}, Unsupported, "mode: linked: the engine qmp can't make linked clones"),
        ({"state": "running"}, Unsupported, "state: running: the engine qmp can't make a VM"),
        ({"identity": "seed"}, Unsupported, "identity: seed: the engine qmp can't make a VM"),
        ({"tpm": "fresh"}, Unsupported, "tpm: fresh: the engine"),
        ({"serials": "keep"}, Unsupported, "serials: keep: the engine"),
        ({"mac": ["52:54:00:00:00:01"]}, Unsupported, "mac: the engine"),
        ({"quiesce": True}, Unsupported, "quiesce: the engine"),
        ({"snapshot": "one"}, Unsupported, "snapshot: the engine qmp can't clone a snapshot"),
        ({"disks": [{"target": "vda", "mode": "link"}]}, Unsupported, "disks: mode: link: the engine"),
        ({"disks": [{"target": "vdz", "mode": "skip"}]}, InvalidOption, "no disk with a medium at vdz"),
        (
            {"disks": [{"target": "vda", "mode": "skip"}, {"target": "vdb", "mode": "skip"}]},
            InvalidOption,
            "has no disk that",
        ),
        ({"source": "other"}, Conflict, "source: the process at .* is the VM web, not other"),
        ({"directory": "/nowhere"}, NotFound, "directory"),
    ],
)
def test_refusals(
    machine: Machine, tools: Tools, options: dict[str, Any], kind: type[ImageOpsError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        plan(machine, tools, **options)


def test_a_disk_without_a_file_is_refused(machine: Machine, tools: Tools) -> None:
    machine.layers["vdb"] = ["nbd://elsewhere/x"]
    with pytest.raises(Unsupported, match="the disk vdb of web is 'nbd://elsewhere/x'"):
        plan(machine, tools)


def test_a_second_item_of_the_same_place_is_refused(machine: Machine, tools: Tools) -> None:
    plan(machine, tools)
    with pytest.raises(InvalidOption, match="two items of the list"):
        vm_clone.plan_clone(asked(machine), tools)


def test_the_socket_is_locked_and_names_the_job(
    machine: Machine, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert vm_clone.OPERATION.locks(asked(machine), tools) == [machine.path]
    assert vm_clone.OPERATION.join(asked(machine), tools) is False
    monkeypatch.setenv("IMAGEOPS_ATTENDED", '{"x": {}}')
    assert vm_clone.OPERATION.job_id(asked(machine), tools) is None
