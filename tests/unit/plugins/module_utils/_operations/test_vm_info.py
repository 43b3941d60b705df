# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import addresses, agent
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_info
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_info import (
    OPERATION,
    every_vm,
    plan_vm_info,
)

ITEM: dict[str, Any] = {"uri": "test:///default", "name": None, "names": None}


@pytest.fixture
def tools() -> Iterator[Tools]:
    found = Tools()
    yield found
    found.close()


@pytest.mark.parametrize(
    ("given", "names"),
    [({}, ["test"]), ({"name": "web"}, ["web"]), ({"names": ["b", "a"]}, ["b", "a"]), ({"names": []}, [])],
)
def test_which_vms(tools: Tools, given: dict[str, Any], names: list[str]) -> None:
    assert [item["name"] for item in every_vm({**ITEM, **given}, tools)] == names
    assert OPERATION.expand is every_vm


@pytest.mark.parametrize("given", [{"name": ""}, {"names": ["web", ""]}])
def test_an_empty_name_is_no_name(tools: Tools, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="^name: an empty text names no VM"):
        every_vm({**ITEM, **given}, tools)


def test_facts(tools: Tools) -> None:
    planned = plan_vm_info({**ITEM, "name": "test"}, tools)
    facts = planned.observe()
    assert not planned.steps
    assert (facts["exists"], facts["state"], facts["memory"], facts["vcpus"]) == (True, "running", 8 << 30, 2)
    assert facts["disks"] == [
        {
            "target": "vda",
            "device": "disk",
            "bus": "virtio",
            "path": "/guest/diskimage1",
            "active_path": "/guest/diskimage1",
            "format": "",
            "readonly": False,
            "chain": ["/guest/diskimage1"],
            "made_from": "",
            "image": {},
            "layers": [],
            "stray": [],
        }
    ]
    assert facts["block_jobs"] == [] and facts["unfinished"] == []
    assert facts["networks"] == [{"network": "default", "mac": "aa:bb:cc:dd:ee:ff", "addresses": []}]
    assert facts["snapshots"] == []


def test_a_name_that_nobody_has(tools: Tools) -> None:
    facts = plan_vm_info({**ITEM, "name": "web"}, tools).observe()
    assert facts == {"name": "web", "uri": "test:///default", "state": "absent", "exists": False}


def test_a_broken_vm_is_told_of(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise EngineError("libvirt refused describing the domain test: it is gone.")

    monkeypatch.setattr(vm_info, "describe", broken)
    facts = plan_vm_info({**ITEM, "name": "test"}, tools).observe()
    assert (facts["state"], facts["error"]) == ("unknown", "libvirt refused describing the domain test: it is gone.")


@pytest.mark.parametrize("told", ["text", [{"ip-addresses": [{}]}], [{"ip-addresses": 5}]])
def test_a_guest_that_tells_nonsense_has_no_addresses(tools: Tools, monkeypatch: pytest.MonkeyPatch, told: Any) -> None:
    class Library:
        @staticmethod
        def qemuAgentCommand(*arguments: Any) -> str:
            return json.dumps({"return": told})

    monkeypatch.setattr(agent, "agent_library", lambda: Library)
    monkeypatch.setattr(addresses, "_by_host", lambda *arguments: [])
    monkeypatch.setattr(addresses, "NEIGHBOURS", "/dev/null")
    facts = plan_vm_info({**ITEM, "name": "test", "addresses": True}, tools).observe()
    assert (facts["state"], facts["addresses"], "error" in facts) == ("running", [], False)


def test_a_file_that_can_not_be_read_is_told_of(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **options: Any) -> None:
        raise OSError(5, "Input/output error", "/images/a")

    monkeypatch.setattr(vm_info, "describe", broken)
    facts = plan_vm_info({**ITEM, "name": "test"}, tools).observe()
    assert (facts["state"], facts["error"]) == ("unknown", "/images/a: Input/output error.")


@pytest.mark.parametrize(("running", "expected"), [(True, ["192.0.2.7"]), (False, [])])
def test_addresses_when_asked(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, running: bool, expected: list[str]
) -> None:
    monkeypatch.setattr(vm_info, "addresses", lambda domain, way: ["192.0.2.7"])
    if not running:
        tools.hypervisor(ITEM["uri"]).domains()[0].destroy()
    asked = {**ITEM, "name": "test", "addresses": True}
    assert plan_vm_info(asked, tools).observe()["addresses"] == expected
    assert "addresses" not in plan_vm_info({**asked, "addresses": False}, tools).observe()
