# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.library import library
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.lifecycle import Lifecycle
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock

TEXT = "<domain type='test'><name>ends</name><memory>1024</memory><os><type>hvm</type></os></domain>"


@pytest.fixture
def life(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lifecycle]:
    # libvirt's test driver doesn't know it.
    monkeypatch.setattr(library(), "VIR_DOMAIN_START_AUTODESTROY", 0)
    found = Lifecycle("test:///default")
    yield found
    left = found.connection.domain("ends")
    if left is not None:
        left.destroy()
        # All connections to the test driver share one queue: what is still in it would be told to the next test.
        assert Clock().wait_until(lambda: bool(found.end_of("ends")), 30)
    found.close()


def test_a_guest_that_shuts_down_ends_in_order(life: Lifecycle) -> None:
    domain = life.start(TEXT)
    life.require_alive()
    assert domain.active and life.end_of("ends") == ""
    domain.shutdown()
    assert Clock().wait_until(lambda: bool(life.end_of("ends")), 30)
    assert life.is_orderly(life.end_of("ends"))
    assert life.reboots("ends") == 0


def test_one_that_somebody_stops_does_not(life: Lifecycle) -> None:
    life.start(TEXT).destroy()
    assert Clock().wait_until(lambda: bool(life.end_of("ends")), 30)
    assert life.end_of("ends") == "stopped from outside" and not life.is_orderly(life.end_of("ends"))
    assert life.start(TEXT).active and life.end_of("ends") == ""


def test_an_earlier_domain_s_end_told_late_is_not_this_one_s(life: Lifecycle) -> None:
    domain = life.start(TEXT)
    assert Clock().wait_until(lambda: not life._starting, 30)
    domain.destroy()
    life.start(TEXT)
    assert Clock().wait_until(lambda: not life._starting, 30)
    assert life.end_of("ends") == ""


def test_another_domain_is_not_ours(life: Lifecycle) -> None:
    life.start(TEXT)
    other = life.connection.domain("test")
    assert other is not None
    other.destroy()
    assert Clock().wait_until(lambda: bool(life.end_of("test")), 30)
    assert life.end_of("ends") == ""
