# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState, read_state
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock

pytestmark = pytest.mark.usefixtures("state_dir")


def test_rate_and_time_left() -> None:
    state, clock = JobState("x", "k", "r"), FakeClock()
    progress = Progress(state, clock)
    progress.phase("convert", total=1000)
    clock.sleep(2)
    progress.update(250)
    assert (state.percent, state.rate, state.eta) == (25.0, 125.0, 6.0)
    assert read_state("x") == state


def test_a_new_phase_starts_from_nothing() -> None:
    state, clock = JobState("x", "k", "r"), FakeClock()
    progress = Progress(state, clock)
    progress.phase("convert", total=1000)
    clock.sleep(1)
    progress.update(1000)
    progress.phase("verify")
    assert (state.phase, state.percent, state.done, state.rate, state.eta) == ("verify", 0.0, 0, None, None)
    clock.sleep(1)
    progress.update(10)
    assert (state.percent, state.done) == (0.0, 10)


def test_the_file_is_written_at_most_twice_a_second() -> None:
    state, clock = JobState("x", "k", "r"), FakeClock()
    progress = Progress(state, clock)
    progress.phase("convert", total=100)
    seen = set()
    for done in range(100):
        clock.sleep(0.02)
        progress.update(done)
        found = read_state("x")
        assert found is not None
        seen.add(found.updated)
    assert 4 <= len(seen) <= 5


def test_what_a_phase_says_is_shown_and_not_kept() -> None:
    state, clock = JobState("x", "k", "r"), FakeClock()
    progress = Progress(state, clock)
    progress.phase("install")
    progress.say("formatting")
    assert state.phase == "install: formatting" and read_state("x") == state
    progress.say("writing")
    progress.phase("publish")
    assert (state.phase, [phase["name"] for phase in state.phases]) == ("publish", ["install"])
