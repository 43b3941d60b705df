# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    EngineError,
    InvalidOption,
    NotFound,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import host
from ansible_collections.imageops.fleet.plugins.module_utils._operations import host_info
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_images import HeldImage
from ansible_collections.imageops.fleet.plugins.module_utils._operations.host_info import OPERATION
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools

ITEM: dict[str, Any] = {"uri": "test:///default", "folders": []}
GIB = 1 << 30


@pytest.fixture
def tools() -> Iterator[Tools]:
    found = Tools()
    yield found
    found.close()


def look(tools: Tools, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    items = OPERATION.expand({**ITEM, **options}, tools)
    vms = [OPERATION.plan(item, tools).observe() for item in items]
    return OPERATION.summarise(tools)["host"], vms


def test_facts(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "memory", lambda: (32 * GIB, 20 * GIB))
    monkeypatch.setattr(host, "resident", lambda domain: 2 * GIB)
    found, vms = look(tools)
    assert found["memory"] == {
        "total": 32 * GIB, "available": 20 * GIB, "promised": 6 * GIB, "free": 14 * GIB, "stopped": 0,
    }  # fmt: skip
    assert found["cpus"] == 16
    assert found["vcpus"] == {"running": 2, "stopped": 0}
    assert [vm["name"] for vm in vms] == ["test"]
    assert (vms[0]["memory"], vms[0]["vcpus"], vms[0]["running"], vms[0]["labels"]) == (8 * GIB, 2, True, {})
    assert "untouched" not in vms[0]


def test_stopped_vms_take_nothing_yet(tools: Tools) -> None:
    domain = tools.hypervisor(ITEM["uri"]).domains()[0]
    domain.destroy()
    found, vms = look(tools)
    assert (found["memory"]["stopped"], found["memory"]["promised"], found["vcpus"]) == (
        8 * GIB,
        0,
        {"running": 0, "stopped": 2},
    )
    assert vms[0]["state"] == "stopped"
    domain.start()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (EngineError("It broke."), {"state": "unknown", "error": "It broke."}),
        (NotFound("It is gone."), {"state": "absent"}),
    ],
)
def test_a_vm_that_cannot_be_read(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, error: Exception, expected: dict[str, str]
) -> None:
    def broken(domain: Any) -> None:
        raise error

    monkeypatch.setattr(host_info, "labels_of", broken)
    found, vms = look(tools)
    assert {name: vms[0][name] for name in expected} == expected
    assert found["vcpus"] == {"running": 0, "stopped": 0}


def test_folders(tools: Tools, tmp_path: Path) -> None:
    found, _vms = look(tools, folders=[str(tmp_path / "new/folder")])
    own = found["storage"][-1]
    assert (own["pool"], own["path"]) == ("", str(tmp_path / "new/folder"))
    assert 0 < own["free"] <= own["total"]
    assert Path(own["mount"]).is_mount()


def test_images_that_are_as_they_were_pulled(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldImage("/images/a.qcow2", "dir:/srv/a:1", f"sha256:{'a' * 64}", "vda", "qcow2", "", 1 << 20, valid=True)
    monkeypatch.setattr(host_info, "held_images", lambda: [held, replace(held, valid=False)])
    found, _vms = look(tools)
    assert found["images"] == [
        {
            "reference": "dir:/srv/a:1", "digest": held.digest, "path": "/images/a.qcow2", "disk": "vda", "format": "qcow2",
            "size": 1 << 20,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "error"),
    [({"folders": ["images"]}, InvalidOption), ({"uri": "qemu+ssh://other/system"}, Unsupported)],
)
def test_refusals(tools: Tools, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        look(tools, **options)


def test_huge_pages(tmp_path: Path) -> None:
    for kilobytes, total, free in ((2048, 8, 3), (1048576, 0, 0)):
        folder = tmp_path / f"hugepages-{kilobytes}kB"
        folder.mkdir()
        (folder / "nr_hugepages").write_text(f"{total}\n")
        (folder / "free_hugepages").write_text(f"{free}\n")
    assert host.huge_pages(str(tmp_path)) == [{"page": 2 << 20, "total": 16 << 20, "free": 6 << 20}]
    assert host.huge_pages(str(tmp_path / "none")) == []


def test_memory() -> None:
    total, available = host.memory()
    assert 0 < available <= total
