# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends to a host for each module: it must stay small, since it is sent for each task."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

UNIT = Path(__file__).resolve().parents[2]
MODULES = UNIT.parents[1] / "plugins" / "modules"
# KiB of our own code, compressed, about 5 % above what it is now; ansible-core adds its own. What a module has more than
# another is what it can do: all parsers (80), job code (20), libvirt (10); disk_convert reads URLs and writes by itself.
MOST_KIB = {
    "disk": 177,
    "disk_chain": 207,
    "disk_check": 205,
    "disk_compact": 230,
    "disk_convert": 284,
    "disk_info": 143,
    "disk_job_info": 63,
    "disk_snapshot": 195,
    "host_info": 94,
    "image_alias": 135,
    "image_build": 450,
    "image_export": 289,
    "image_import": 246,
    "image_info": 244,
    "image_prune": 237,
    "image_serve": 116,
    "image_sign": 137,
    "image_publish": 354,
    "image_pull": 344,
    "vm": 460,
    "vm_capture": 537,
    "vm_clone": 522,
    "vm_freeze": 83,
    "vm_info": 238,
    "vm_install": 250,
    "vm_network": 94,
    "vm_screenshot": 66,
    "vm_snapshot": 296,
}
# Rooms that a module has no use for: one import too many would bring them.
NOT_IN = {
    "disk": ("_transfer/", "_jobs/launch.py", "_jobs/helper.py", "_operations/convert_"),
    "disk_info": ("_qemu/", "_transfer/", "_jobs/launch.py", "_operations/convert_", "_operations/usage"),
    "disk_job_info": ("_formats/", "_qemu/", "_transfer/", "_operations/convert_"),
    "disk_snapshot": ("_transfer/", "_operations/convert_"),
    "vm_info": ("_transfer/", "_jobs/launch.py", "_operations/convert_"),
}


@pytest.fixture(scope="module")
def payloads() -> dict[str, dict[str, Any]]:
    program = [sys.executable, str(UNIT / "ansiballz_payload.py"), str(MODULES)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def test_every_module_has_a_limit(payloads: dict[str, dict[str, Any]]) -> None:
    assert set(payloads) == set(MOST_KIB) == {path.stem for path in MODULES.glob("*.py")}


@pytest.mark.parametrize("name", MOST_KIB)
def test_payloads_are_small_and_whole(payloads: dict[str, dict[str, Any]], name: str) -> None:
    found = payloads[name]
    print(f"{name}: {found['bytes']} bytes, of ours {found['our_bytes']} in {len(found['our_files'])} files")
    assert any(entry.endswith("_ansible/run.py") for entry in found["our_files"])
    assert found["our_bytes"] < MOST_KIB[name] << 10


@pytest.mark.parametrize("name", NOT_IN)
def test_nothing_is_dragged_in(payloads: dict[str, dict[str, Any]], name: str) -> None:
    needless = [f"/module_utils/{part}" for part in NOT_IN[name]]
    dragged = [entry for entry in payloads[name]["our_files"] if any(part in entry for part in needless)]
    assert [entry for entry in dragged if not entry.endswith("__init__.py")] == []
