# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _locks as locks
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InUse

pytestmark = pytest.mark.usefixtures("state_dir")


def once(attempt: Callable[[], bool], seconds: float) -> bool:
    return attempt()


def test_one_holder_at_a_time() -> None:
    handle = locks.try_lock("/x")
    assert handle is not None
    assert locks.try_lock("/x") is None
    assert locks.holder("/x") == str(os.getpid())
    os.close(handle)
    again = locks.try_lock("/x")
    assert again is not None
    os.close(again)


def test_a_shared_one_has_many_holders() -> None:
    shared = [locks.try_lock("/x", shared=True) for _number in range(3)]
    assert None not in shared and locks.try_lock("/x") is None
    for handle in shared:
        os.close(handle or 0)
    alone = locks.try_lock("/x")
    assert alone is not None and locks.try_lock("/x", shared=True) is None
    os.close(alone)


def test_nobody_has_held_it() -> None:
    assert locks.holder("/never") == ""


def test_a_lock_lives_as_long_as_the_engine_that_inherited_it() -> None:
    handle = locks.try_lock("/x", inheritable=True)
    assert handle is not None
    engine = subprocess.Popen(["sleep", "30"], pass_fds=[handle])
    try:
        os.close(handle)
        assert locks.try_lock("/x") is None
    finally:
        engine.kill()
        engine.wait()
    after = locks.try_lock("/x")
    assert after is not None
    os.close(after)


def test_several_are_held_together_and_let_go() -> None:
    with locks.held(["/b", "/a", "/b"], timeout=1, wait=once):
        assert locks.try_lock("/a") is None
        assert locks.try_lock("/b") is None
    with locks.held(["/a", "/b"], timeout=1, wait=once):
        pass


def test_more_are_held_than_files_may_be_open() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    names = [f"a{number}" for number in range(400)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (350, hard))
    try:
        with locks.held(names, timeout=0, wait=once):
            assert locks.is_ours("a399")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_bases_are_taken_last(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def take(name: str, **more: object) -> int:
        order.append(name)
        return os.open(os.devnull, os.O_RDONLY)

    monkeypatch.setattr(locks, "_take", take)
    with locks.held(["base:/a", "write:/a", "/b", "/a"], timeout=1, wait=once):
        assert order == ["/a", "/b", "write:/a", "base:/a"]


def test_what_is_held_is_ours() -> None:
    with locks.held(["/a"], timeout=1, wait=once):
        assert locks.is_ours("/a") and not locks.is_ours("/b")
        assert len(locks.held_descriptors()) == 1
    assert not locks.is_ours("/a") and locks.held_descriptors() == ()


@pytest.mark.parametrize("shared", [True, False])
def test_who_holds_it_now(shared: bool) -> None:
    assert "can't be seen" in locks.holders("/never")
    handle = locks.try_lock("/a", shared=shared)
    assert handle is not None
    assert re.fullmatch(rf"process {os.getpid()} \(.+\)", locks.holders("/a"))
    os.close(handle)
    with open(locks.lock_path("/a"), encoding="utf-8"):
        assert "can't be seen" in locks.holders("/a"), "it is open, but nobody has the lock"


def test_a_busy_one_lets_go_of_the_others() -> None:
    handle = locks.try_lock("/b")
    assert handle is not None
    told = rf"^/b is being worked on .*process {os.getpid()}.* within 1 seconds"
    with pytest.raises(InUse, match=told), locks.held(["/a", "/b"], timeout=1, wait=once):
        pass
    os.close(handle)
    with locks.held(["/a", "/b"], timeout=1, wait=once):
        pass


def test_a_busy_base_is_told_by_its_path() -> None:
    handle = locks.try_lock("base:/x", shared=True)
    with (
        pytest.raises(InUse, match="^/x is being worked on by another task"),
        locks.held(["base:/x"], timeout=1, wait=once),
    ):
        pass
    os.close(handle or 0)


def test_lock_files_stay_and_say_nothing_in_their_names(state_dir: Path) -> None:
    with locks.held(["/secret/name"], timeout=1, wait=once):
        pass
    assert [len(path.name) for path in (state_dir / "locks").iterdir()] == [32]


def test_what_is_held_can_be_inherited() -> None:
    assert locks.held_descriptors() == ()
    with locks.held(["/a", "/b"], timeout=1, wait=once):
        assert len(locks.held_descriptors()) == 2
        engine = subprocess.Popen(["sleep", "60"], pass_fds=locks.held_descriptors())
    try:
        assert locks.held_descriptors() == ()
        assert locks.try_lock("/a") is None
    finally:
        engine.kill()
        engine.wait()
