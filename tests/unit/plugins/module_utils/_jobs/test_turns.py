# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import sys
import threading

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InUse
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.turns import if_free, in_turn
from ansible_collections.imageops.fleet.plugins.module_utils._locks import lock_path
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock

pytestmark = pytest.mark.usefixtures("state_dir")


def test_threads_take_turns() -> None:
    inside, most = [0], []

    def act() -> None:
        with in_turn("x", Clock()):
            inside[0] += 1
            Clock().sleep(0.02)
            most.append(inside[0])
            inside[0] -= 1

    threads = [threading.Thread(target=act) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_another_process_is_waited_for_and_then_told_of() -> None:
    script = "import fcntl,os,sys,time; h=os.open(sys.argv[1], os.O_RDWR|os.O_CREAT); fcntl.flock(h, 2); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, lock_path("start:x")], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline()
        clock = FakeClock()
        with pytest.raises(InUse, match="The job x is being started by another task"), in_turn("x", clock):
            raise AssertionError("two at once")
        assert clock.moment >= 1060
        with if_free("x") as free:
            assert not free
        process.kill()
    with in_turn("x", FakeClock()), if_free("y") as free:
        assert free


def test_an_error_inside_ends_the_turn() -> None:
    with pytest.raises(ValueError, match="inside"), in_turn("x", FakeClock()):
        raise ValueError("inside")
    with if_free("x") as free:
        assert free
