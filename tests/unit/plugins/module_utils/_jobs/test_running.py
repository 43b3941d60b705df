# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import running
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import SESSION, UNIT, JobState
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock


@pytest.mark.parametrize(
    ("launcher", "age", "starter", "known", "works"),
    [
        pytest.param(UNIT, 1, 0, False, True, id="may still come"),
        pytest.param(UNIT, 10, 0, False, False, id="nobody starts it and systemd knows nothing of it"),
        pytest.param(UNIT, 10, 0, True, True, id="systemd knows its unit"),
        pytest.param(UNIT, 10, os.getpid(), False, True, id="who starts it lives"),
        pytest.param(UNIT, 40, os.getpid(), True, False, id="too long ago"),
        pytest.param(SESSION, 10, 0, False, True, id="no unit is to be expected"),
    ],
)
def test_a_job_that_died_before_it_began_is_not_waited_for(
    launcher: str, age: int, starter: int, known: bool, works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = tmp_path / "unit"
    if known:
        unit.touch()
    monkeypatch.setattr(running, "unit_file", lambda _identifier: str(unit))
    clock = FakeClock()
    state = JobState(
        "x", "k", "r", launcher=launcher, started=clock.time() - age, starter=starter or 99999999, target=str(tmp_path)
    )
    assert running.is_running(state, clock) is works
