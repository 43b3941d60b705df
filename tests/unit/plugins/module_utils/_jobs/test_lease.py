# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import lease
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.lease import CANCEL, DETACH, Caller, Lease
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import job_path

pytestmark = pytest.mark.usefixtures("state_dir")


def aged(seconds: float) -> None:
    moment = Clock().time() - seconds
    os.utime(job_path("x", "lease"), (moment, moment))


@pytest.mark.parametrize(
    ("first", "second", "agreed"),
    [
        (Lease(CANCEL, 10), Lease(CANCEL, 20), Lease(CANCEL, 20)),
        (Lease(CANCEL, 20), Lease(CANCEL, 10), Lease(CANCEL, 20)),
        (Lease(CANCEL, 10), Lease(DETACH, 10), Lease(DETACH, 10)),
        (Lease(DETACH, 10), Lease(CANCEL, 10), Lease(DETACH, 10)),
    ],
)
def test_the_safer_wish_wins(first: Lease, second: Lease, agreed: Lease) -> None:
    lease.grant("x", first)
    lease.share("x", second)
    assert lease.lease_of("x") == agreed


def test_a_new_job_forgets_the_last_ones_lease() -> None:
    lease.grant("x", Lease(DETACH, 60))
    lease.grant("x", Lease(CANCEL, 5))
    assert lease.lease_of("x") == Lease(CANCEL, 5)


@pytest.mark.parametrize(("wish", "age", "over"), [(CANCEL, 4, False), (CANCEL, 7, True), (DETACH, 7000, False)])
def test_a_lease_runs_out(wish: str, age: float, over: bool) -> None:
    lease.grant("x", Lease(wish, 5))
    aged(age)
    assert (lease.expired("x", Clock()) is not None) is over
    lease.renew("x")
    assert lease.expired("x", Clock()) is None


@pytest.mark.parametrize(
    "content", ["", "[]", "{", '{"on_interrupt": "cancel"}', '{"on_interrupt": "cancel", "lease_timeout": null}']
)
def test_a_lease_that_cannot_be_read_stops_nothing(content: str) -> None:
    lease.grant("x", Lease(CANCEL, 5))
    Path(job_path("x", "lease")).write_text(content)
    aged(100)
    assert lease.expired("x", Clock()) is None


def test_without_a_lease() -> None:
    assert lease.expired("x", Clock()) is None
    lease.renew("x")
    assert not os.path.exists(job_path("x"))


def test_too_short() -> None:
    lease.require_lease(Lease(CANCEL, 5))
    with pytest.raises(InvalidOption, match="lease_timeout: 4 seconds are too few; give 5 or more"):
        lease.require_lease(Lease(CANCEL, 4))


def test_items_that_wait_side_by_side_ask_for_one_caller() -> None:
    caller = Caller()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _turn: caller.lives(), range(4000))) == {True}


def test_a_caller_that_reads_no_more_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    saved = os.dup(1)
    try:
        os.dup2(writer, 1)
        caller = Caller()
        assert caller.lives()
        os.close(reader)
        assert not caller.lives()
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(writer)
    caller = Caller()
    other = os.getppid() + 1
    monkeypatch.setattr(os, "getppid", lambda: other)
    assert not caller.lives()
