# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._faults import FAULT_VARIABLE, fault_point


@pytest.mark.parametrize("value", ["", "convert", "convert:verify", "convert:rename:kill", "convert:renamed:full"])
def test_inert_unless_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, value)
    fault_point("convert:rename-it")


@pytest.mark.parametrize(("how", "number"), [("full", 28), ("broken", 5)])
def test_errors(monkeypatch: pytest.MonkeyPatch, how: str, number: int) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, f"convert:rename:{how}")
    with pytest.raises(OSError, match="fault point convert:rename") as raised:
        fault_point("convert:rename")
    assert raised.value.errno == number


def test_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, "convert:rename:kill")
    program = f"from {fault_point.__module__} import fault_point; fault_point('convert:rename')"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
