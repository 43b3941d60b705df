# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock


def test_what_is_true_is_seen_without_a_pause() -> None:
    clock = FakeClock()
    assert clock.wait_until(lambda: True, 0)
    assert clock.slept == []


def test_no_time_is_one_look() -> None:
    clock, looks = FakeClock(), []
    assert not clock.wait_until(lambda: bool(looks.append(1)), 0)
    assert looks == [1]


def test_pauses_grow_with_the_time_waited_up_to_the_interval() -> None:
    clock = FakeClock()
    assert not clock.wait_until(lambda: False, 10, interval=0.1)
    assert clock.slept[:3] == [0.005, 0.005, 0.005]
    assert clock.slept == pytest.approx(sorted(clock.slept[:-1]) + clock.slept[-1:])
    assert max(clock.slept) == 0.1
    assert clock.moment == pytest.approx(1010)


def test_the_last_look_is_after_the_deadline() -> None:
    clock = FakeClock()
    assert clock.wait_until(lambda: clock.moment >= 1000.5, 0.5, interval=10)


def test_the_real_one() -> None:
    clock = Clock()
    before = clock.now()
    clock.sleep(0.001)
    assert clock.now() > before
    assert clock.time() > 1_700_000_000
