# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.plugin_utils._progress_line import ProgressLines

STATE: dict[str, Any] = {
    "id": "j",
    "target": "/srv/a.qcow2",
    "phase": "convert",
    "percent": 41.7,
    "total": 4 << 30,
    "rate": 180.0 * (1 << 20),
    "eta": 75.0,
}


def test_a_line_tells_phase_percent_rate_and_time_left() -> None:
    line = ProgressLines("web1").line(STATE, waited=5)
    assert line == "web1: /srv/a.qcow2: convert 42 % of 4 GiB, 180 MiB/s, 1 min 15 s left"


def test_one_line_per_step_of_ten_percent_and_per_phase() -> None:
    lines = ProgressLines("h")
    said = [
        bool(lines.line({**STATE, "phase": phase, "percent": percent}, waited=waited))
        for waited, phase, percent in [
            (4, "convert", 1),
            (5, "convert", 9),
            (6, "convert", 11),
            (7, "convert", 19.9),
            (8, "convert", 40),
            (9, "verify", 40),
            (10, "verify", 41),
            (71, "verify", 41),
        ]
    ]
    assert said == [True, False, True, False, True, True, False, True]


def test_each_job_of_a_task_has_its_own_lines() -> None:
    lines = ProgressLines("h")
    assert lines.line(STATE, waited=5)
    assert lines.line({**STATE, "id": "k"}, waited=5)


@pytest.mark.parametrize(("eta", "text"), [(7300, "2 h 1 min left"), (59.9, "59 s left"), (120, "2 min 0 s left")])
def test_times(eta: float, text: str) -> None:
    line = ProgressLines("h").line({**STATE, "eta": eta}, waited=5)
    assert line is not None and line.endswith(text)


def test_a_host_that_says_nonsense() -> None:
    line = ProgressLines("h").line(
        {"id": 1, "target": "\x1b[2Jx", "phase": None, "percent": "x", "total": -1e30, "rate": {}, "eta": []}, waited=5
    )
    assert line == "h: ?[2Jx: starting"
