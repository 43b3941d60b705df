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
    EngineError,
    InUse,
    NotFound,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import qmp_overlays, qmp_socket
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.qmp_jobs import job_id
from ansible_collections.imageops.fleet.plugins.module_utils._operations import qmp_snapshot, vm_snapshot
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.usage import DOMAIN, ENGINE, User
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_expand import every_snapshot
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan
from ansible_collections.imageops.fleet.plugins.module_utils._qmp import client
from ansible_collections.imageops.fleet.tests.unit.qmp_pretender import LIBRARY, Machine


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "library", lambda: LIBRARY)
    monkeypatch.setattr(qmp_socket, "library", lambda: LIBRARY)
    monkeypatch.setattr(qmp_snapshot, "users_of", lambda path, tools, **more: [User(ENGINE, path, "is open", True)])
    monkeypatch.setattr(qmp_snapshot, "require_space", lambda *asked, **more: None)


@pytest.fixture
def tools() -> Iterator[Tools]:
    found = Tools()
    yield found
    found.close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    disks = {"disk0": [tmp_path / "a.qcow2"], "disk1": [tmp_path / "b.qcow2"]}
    for layers in disks.values():
        layers[0].write_text("layer")
    return Machine(tmp_path / "s", disks)


def plan(machine: Machine, tools: Tools, name: str = "one", **more: Any) -> Plan:
    nothing = dict.fromkeys(("vms", "description", "memory", "keep", "older_than"))
    switches = dict.fromkeys(("quiesce", "remove_children", "start", "adopt"), False)
    options = {"uri": "x", "vm": None, "hypervisor": "qmp", "socket": machine.path, "state": "present", "kind": "auto"}
    (params,) = every_snapshot({**options, **nothing, **switches, "timeout": 5, "name": name, **more}, tools)
    return vm_snapshot.plan_snapshot(params, tools)


def apply(plan: Plan) -> dict[str, Any]:
    for step in plan.steps:
        step.run()
    return plan.observe()


def test_internal(machine: Machine, tools: Tools) -> None:
    found = apply(plan(machine, tools))
    assert (found["state"], found["kind"], found["memory"], found["created"]) == ("present", "internal", True, 5)
    assert plan(machine, tools).steps == ()
    assert apply(plan(machine, tools, state="reverted"))["state"] == "present"
    assert "snapshot-load" in machine.said
    assert apply(plan(machine, tools, state="absent"))["state"] == "absent"
    assert plan(machine, tools, state="absent").steps == ()
    assert not machine.jobs


def test_external(machine: Machine, tools: Tools, tmp_path: Path) -> None:
    first = plan(machine, tools, memory=False)
    assert "will write to new layers (disk0: " in first.warnings[0]
    found = apply(first)
    assert (found["state"], found["kind"], found["memory"]) == ("present", "external", False)
    assert (tmp_path / "web-disk0.one.qcow2").read_text() == str(tmp_path / "a.qcow2")
    assert machine.said.count("transaction") == 1
    assert plan(machine, tools, memory=False).steps == ()
    # The next one is external too.
    apply(plan(machine, tools, "two"))
    assert machine.layers["disk0"] == [
        str(tmp_path / name) for name in ("web-disk0.two.qcow2", "web-disk0.one.qcow2", "a.qcow2")
    ]
    # First from the middle, then from the top.
    for name in ("one", "two"):
        assert apply(plan(machine, tools, name, state="absent"))["state"] == "absent"
    assert machine.layers == {"disk0": [str(tmp_path / "a.qcow2")], "disk1": [str(tmp_path / "b.qcow2")]}
    assert (machine.nodes, machine.jobs, machine.said.count("job-complete")) == ({}, {}, 2)
    assert sorted(os.listdir(tmp_path)) == ["a.qcow2", "b.qcow2", "s"]


def test_an_external_one_that_fails_leaves_nothing(machine: Machine, tools: Tools, tmp_path: Path) -> None:
    machine.fail["transaction"] = "Could not"
    with pytest.raises(EngineError, match="failed at transaction: Could not"):
        apply(plan(machine, tools, kind="external"))
    assert (machine.nodes, sorted(os.listdir(tmp_path))) == ({}, ["a.qcow2", "b.qcow2", "s"])


def test_what_a_killed_run_left_half_made_is_made_anew(
    machine: Machine, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(moment: str) -> None:
        raise KeyboardInterrupt

    for moment in ("half-made", "before-switch"):
        monkeypatch.setattr(
            qmp_overlays, "fault_point", lambda found, wanted=moment: die(found) if found.endswith(wanted) else None
        )
        with pytest.raises(KeyboardInterrupt):
            apply(plan(machine, tools, kind="external"))
        assert machine.nodes
    monkeypatch.setattr(qmp_overlays, "fault_point", lambda moment: None)
    assert apply(plan(machine, tools, kind="external"))["state"] == "present"


def test_a_merge_that_nobody_ended_is_ended(
    machine: Machine, tools: Tools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def die(moment: str) -> None:
        raise KeyboardInterrupt

    apply(plan(machine, tools, kind="external"))
    monkeypatch.setattr(qmp_overlays, "fault_point", die)
    with pytest.raises(KeyboardInterrupt):
        apply(plan(machine, tools, state="absent"))
    assert job_id("merge", str(tmp_path / "web-disk0.one.qcow2")) in machine.jobs
    monkeypatch.setattr(qmp_overlays, "fault_point", lambda moment: None)
    again = plan(machine, tools, state="absent")
    assert len(again.steps) == 2
    apply(again)
    assert (machine.jobs, machine.nodes, sorted(os.listdir(tmp_path))) == ({}, {}, ["a.qcow2", "b.qcow2", "s"])


def test_a_file_of_somebody_else_is_kept(machine: Machine, tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "web-disk1.one.qcow2").write_text("precious")
    with pytest.raises(Conflict, match="is there already"):
        apply(plan(machine, tools, kind="external"))
    assert (tmp_path / "web-disk1.one.qcow2").read_text() == "precious"
    assert not (tmp_path / "web-disk0.one.qcow2").exists()


def test_a_layer_that_others_rest_on_is_not_merged(
    machine: Machine, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply(plan(machine, tools, kind="external"))
    users = [User(DOMAIN, "db", "the VM db uses it", True)]
    monkeypatch.setattr(qmp_snapshot, "users_of", lambda path, tools, **more: users)
    with pytest.raises(InUse, match="the VM db uses it"):
        plan(machine, tools, state="absent")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "internal", "memory": False}, "can't take an internal snapshot without memory"),
        ({"kind": "external", "memory": True}, "can't take an external snapshot with memory"),
        ({"quiesce": True}, "can't freeze"),
        ({"description": "x"}, "can't keep a description"),
        ({"state": "absent", "remove_children": True}, "can't keep the tree"),
        ({"state": "absent", "keep": 0}, "keep: the engine qmp can't let snapshots go"),
        ({"vms": ["*"]}, "can't list"),
    ],
)
def test_what_only_libvirt_can(machine: Machine, tools: Tools, given: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        plan(machine, tools, **given)


def test_kinds_are_not_mixed(machine: Machine, tools: Tools) -> None:
    apply(plan(machine, tools))
    with pytest.raises(Unsupported, match="has internal snapshots"):
        plan(machine, tools, "two", kind="external")
    apply(plan(machine, tools, state="absent"))
    apply(plan(machine, tools, "two", kind="external"))
    with pytest.raises(Unsupported, match="has external snapshots"):
        plan(machine, tools, "three", kind="internal")
    with pytest.raises(Unsupported, match="can't revert to an external snapshot"):
        plan(machine, tools, "two", state="reverted")


def test_raw_disks_hold_no_internal_snapshot(tmp_path: Path, tools: Tools) -> None:
    (tmp_path / "a.raw").write_text("")
    machine = Machine(tmp_path / "s", {"disk0": [tmp_path / "a.raw"]}, format="raw")
    assert plan(machine, tools).info == {"reason": "disk0 is raw, which holds no snapshot"}
    with pytest.raises(Unsupported, match="is raw, and only qcow2 holds"):
        plan(machine, tools, kind="internal")
    (tmp_path / "a.raw").unlink()
    with pytest.raises(Unsupported, match="isn't the absolute path of a file"):
        plan(machine, tools)


def test_a_snapshot_that_is_not_whole_is_not_reverted_to(machine: Machine, tools: Tools) -> None:
    with pytest.raises(NotFound, match="has no internal snapshot 'one'; it has: none"):
        plan(machine, tools, state="reverted")
    machine.points["disk0"] = ["one"]
    with pytest.raises(Conflict, match="disk1 of web does not hold"):
        plan(machine, tools, state="reverted")


def test_a_process_without_disks(tmp_path: Path, tools: Tools) -> None:
    with pytest.raises(Conflict, match="has no disk that it writes to"):
        plan(Machine(tmp_path / "s", {}), tools)
