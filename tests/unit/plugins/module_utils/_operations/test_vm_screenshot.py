# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_screenshot
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_screenshot import plan_screenshot

VIDEO = "<domain><devices><video/></devices></domain>"


def tools(state: str = "running", xml: str = VIDEO) -> Tools:
    domain = SimpleNamespace(name="web", state=state, active=state != "stopped", xml=lambda inactive: parse(xml))
    found = {"web": domain, "db": domain}
    return Tools(connect=lambda uri: SimpleNamespace(domain=found.get))  # type: ignore[arg-type,return-value]


def params(dest: Path | str, **more: Any) -> dict[str, Any]:
    return {"name": "web", "dest": str(dest), "screen": 0, "uri": "qemu:///system", **more}


def test_the_picture_is_written_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_screenshot, "screenshot", lambda *args, **options: b"P6\n1 1\n255\nabc")
    dest = tmp_path / "web.png"
    plan = plan_screenshot(params(dest), tools())
    assert not dest.exists()
    for step in plan.steps:
        step.run()
    found = plan.observe()
    assert dest.read_bytes().startswith(b"\x89PNG")
    assert dest.stat().st_mode & 0o777 == 0o600
    assert (found["width"], found["height"], found["size"]) == (1, 1, dest.stat().st_size)
    assert plan_screenshot(params(dest), tools()).before["sha256"] == found["sha256"]


@pytest.mark.parametrize(
    ("changed", "world", "said"),
    [
        ({"dest": "web.jpg"}, {}, "doesn't end with .png"),
        ({"dest": "missing/web.png"}, {}, "missing does not exist"),
        ({"dest": ""}, {}, "nothing is given"),
        ({"screen": -1}, {}, "no number of a screen"),
        ({"name": "gone"}, {}, "no VM called gone"),
        ({"uri": "qemu+ssh://other/system"}, {}, "remote host other"),
        ({}, {"state": "stopped"}, "is stopped"),
        ({}, {"xml": "<domain/>"}, "no video card"),
    ],
)
def test_what_is_refused(tmp_path: Path, changed: dict[str, Any], world: dict[str, str], said: str) -> None:
    dest = changed.get("dest", "web.png")
    asked = {**params(tmp_path / dest), **changed, "dest": str(tmp_path / dest) if dest else ""}
    with pytest.raises(ImageOpsError, match=said):
        plan_screenshot(asked, tools(**world))


def test_one_file_for_two_is_refused(tmp_path: Path) -> None:
    both = tools()
    plan_screenshot(params(tmp_path / "a.png"), both)
    with pytest.raises(ImageOpsError, match="given for two VMs"):
        plan_screenshot(params(tmp_path / "a.png", name="db"), both)
