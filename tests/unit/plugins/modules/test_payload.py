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

UNIT = Path(__file__).resolve().parents[2]
MODULES = UNIT.parents[1] / "plugins" / "modules"
_MOST_BYTES = 300 << 10


def test_payloads_are_small_and_whole() -> None:
    program = [sys.executable, str(UNIT / "ansiballz_payload.py"), str(MODULES)]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(program, capture_output=True, text=True, check=True, env=environment)
    sizes = json.loads(done.stdout)
    assert set(sizes) == {path.stem for path in MODULES.glob("*.py")}
    for name, found in sizes.items():
        ours = [entry for entry in found["files"] if "imageops/fleet/plugins/module_utils" in entry]
        print(f"{name}: {found['bytes']} bytes, {len(ours)} files of ours")
        assert any(entry.endswith("_ansible/run.py") for entry in ours)
        assert found["bytes"] < _MOST_BYTES
