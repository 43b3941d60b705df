# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
import time

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations.side_by_side import side_by_side


def test_everything_is_done_once() -> None:
    done: list[int] = []
    side_by_side(range(200), work=done.append, threads=4)
    assert sorted(done) == list(range(200))


def test_an_error_is_raised_and_no_more_is_begun() -> None:
    begun: list[int] = []

    def work(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise ValueError("three")
        time.sleep(0.01)

    with pytest.raises(ValueError, match="three"):
        side_by_side(range(1000), work=work, threads=2)
    assert len(begun) < 900


def test_nothing_goes_on_when_the_caller_is_stopped() -> None:
    under_way = threading.Semaphore(0)

    def work(number: int) -> None:
        under_way.release()
        time.sleep(0.05)

    def tick() -> None:
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        side_by_side(range(1000), work=work, threads=2, tick=tick)
    assert not set(threading.enumerate()) - before


def test_nothing_to_do_is_done() -> None:
    side_by_side([], work=print, threads=3)


def test_several_lists_go_on_beside_each_other() -> None:
    done: list[int] = []
    side_by_side(range(50), range(100, 110), work=done.append, threads=2)
    assert sorted(done) == [*range(50), *range(100, 110)]
    side_by_side(range(3), range(3), work=lambda number: None, threads=1)
