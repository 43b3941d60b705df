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
    InvalidOption,
    NotFound,
    TimedOut,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import qmp_socket
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm, vm_info, vm_screenshot
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan
from ansible_collections.imageops.fleet.plugins.module_utils._qmp import client
from ansible_collections.imageops.fleet.tests.unit.qmp_pretender import LIBRARY, Machine


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "library", lambda: LIBRARY)
    monkeypatch.setattr(qmp_socket, "library", lambda: LIBRARY)


@pytest.fixture
def tools() -> Iterator[Tools]:
    found = Tools()
    yield found
    found.close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "s", {"disk0": [tmp_path / "top.qcow2"]})


def asked(machine: Machine, **more: Any) -> dict[str, Any]:
    return {
        "name": "web",
        "uri": "qemu:///system",
        "hypervisor": "qmp",
        "socket": machine.path,
        "state": "running",
        "shutdown_timeout": 5,
        "force_stop": False,
        "remove_disks": False,
        "memory": None,
        **more,
    }


def apply(plan: Plan) -> dict[str, Any]:
    for step in plan.steps:
        step.run()
    return plan.observe()


def planned(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of a task of its own."""
    tools.forecast.clear()
    return vm.plan_vm(params, tools)


@pytest.mark.parametrize(
    ("status", "state", "steps", "said"),
    [
        ("running", "running", [], []),
        ("paused", "running", ["resume web"], ["cont"]),
        ("running", "paused", ["pause web"], ["stop"]),
        ("paused", "paused", [], []),
        ("running", "stopped", ["stop web"], ["system_powerdown"]),
        ("paused", "stopped", ["stop web"], ["cont", "system_powerdown"]),
        ("shutdown", "stopped", [], []),
    ],
)
def test_states(machine: Machine, tools: Tools, status: str, state: str, steps: list[str], said: list[str]) -> None:
    machine.status = status
    plan = planned(asked(machine, state=state), tools)
    assert [step.title for step in plan.steps] == steps
    assert (plan.foretell or plan.observe)()["state"] == state
    assert apply(plan)["state"] == state
    assert [word for word in machine.said if word != "qmp_capabilities"] == said
    assert planned(asked(machine, state=state), tools).steps == ()


def test_a_process_is_named_once(machine: Machine, tools: Tools, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(machine.path)
    params = asked(machine)
    planned(params, tools)
    vm.plan_vm(params, tools)
    with pytest.raises(InvalidOption, match="^vms: the process at .*link is named twice"):
        vm.plan_vm(asked(machine, name="db", state="paused", socket=str(tmp_path / "link")), tools)


def test_a_guest_that_does_not_react(machine: Machine, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "do_system_powerdown", dict, raising=False)
    with pytest.raises(TimedOut, match="force_stop: true"):
        apply(planned(asked(machine, state="stopped", shutdown_timeout=0.1), tools))
    gone = apply(planned(asked(machine, state="stopped", shutdown_timeout=0, force_stop=True), tools))
    assert gone == {"name": "web", "uri": f"qmp://{machine.path}", "state": "stopped"}
    assert machine.said[-1] == "quit"


def test_a_process_that_is_gone_is_stopped(machine: Machine, tools: Tools) -> None:
    machine.end()
    plan = planned(asked(machine, state="stopped"), tools)
    assert (plan.steps, plan.observe()["state"]) == ((), "stopped")
    with pytest.raises(Unsupported, match="state: running, while no process listens at .*: the engine qmp can't start"):
        planned(asked(machine), tools)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"state": "absent"}, "state: absent: the engine qmp can't define"),
        ({"state": "present"}, "can't define"),
        ({"state": "restarted"}, "can't start a VM"),
        ({"memory": "1GiB"}, "memory: the engine qmp can't define"),
        ({"autostart": True}, "autostart: .* change the command line"),
        ({"remove_disks": True}, "remove_disks: "),
        ({"wait_for": {"running": True}}, "wait_for: .*ansible.builtin.wait_for"),
    ],
)
def test_what_only_libvirt_can(machine: Machine, tools: Tools, given: dict[str, Any], said: str) -> None:
    with pytest.raises(Unsupported, match=said):
        planned(asked(machine, **given), tools)


def test_a_crashed_guest_is_not_resumed(machine: Machine, tools: Tools) -> None:
    machine.status = "internal-error"
    with pytest.raises(Unsupported, match="while the guest at .* is crashed: "):
        planned(asked(machine), tools)


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        ({"socket": None}, InvalidOption, "needs the path"),
        ({"hypervisor": "libvirt"}, InvalidOption, "with hypervisor: qmp only"),
        ({"name": "other"}, Conflict, "is the VM web, not other"),
    ],
)
def test_options_that_contradict(
    machine: Machine, tools: Tools, given: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        planned(asked(machine, **given), tools)


def test_the_socket_is_locked(machine: Machine, tools: Tools) -> None:
    assert list(vm.locks(asked(machine), tools)) == [os.path.realpath(machine.path)]


def test_info(machine: Machine, tools: Tools, tmp_path: Path) -> None:
    given = asked(machine, name=None, names=None)
    (item,) = vm_info.every_vm(given, tools)
    machine.points["disk0"] = ["one"]
    facts = vm_info.plan_vm_info(item, tools).observe()
    assert (facts["name"], facts["exists"], facts["state"], facts["memory"]) == ("web", True, "running", 65 << 20)
    assert facts["disks"][0]["chain"] == [str(tmp_path / "top.qcow2")]
    assert facts["snapshots"] == [{"name": "one", "kind": "internal", "memory": True, "created": 5}]
    with pytest.raises(Unsupported, match="can't list all VMs"):
        vm_info.plan_vm_info({**given, "names": ["a"]}, tools)


def test_info_of_what_is_not_there_or_not_well(machine: Machine, tools: Tools) -> None:
    error = vm_info.plan_vm_info(asked(machine, name="other", names=None), tools).observe()
    assert (error["state"], error["exists"]) == ("unknown", True) and "is the VM web" in error["error"]
    machine.end()
    facts = vm_info.plan_vm_info(asked(machine, name=None, names=None), Tools()).observe()
    assert (facts["name"], facts["state"], facts["exists"]) == ("s", "absent", False)


def test_a_picture(machine: Machine, tools: Tools, tmp_path: Path) -> None:
    dest = tmp_path / "screen.png"
    plan = vm_screenshot.plan_screenshot(asked(machine, dest=str(dest), screen=0), tools)
    assert not dest.exists()
    shown = apply(plan)
    assert (shown["width"], shown["height"]) == (2, 1) and dest.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(Unsupported, match="another screen"):
        vm_screenshot.plan_screenshot(asked(machine, dest=str(tmp_path / "b.png"), screen=1), tools)
    machine.status = "shutdown"
    with pytest.raises(Conflict, match="shows nothing"):
        vm_screenshot.plan_screenshot(asked(machine, dest=str(tmp_path / "c.png"), screen=0), tools)
    machine.end()
    with pytest.raises(NotFound, match="no process listens"):
        vm_screenshot.plan_screenshot(asked(machine, dest=str(tmp_path / "d.png"), screen=0), Tools())
