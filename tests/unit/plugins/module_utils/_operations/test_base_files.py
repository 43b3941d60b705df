# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InUse
from ansible_collections.imageops.fleet.plugins.module_utils._files import fingerprint
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_overlay import Backing, write_empty_qcow2
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._locks import held
from ansible_collections.imageops.fleet.plugins.module_utils._operations import base_files, usage, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.base_files import Bases, alone, base_lock
from ansible_collections.imageops.fleet.plugins.module_utils._operations.copy_publication import publish_copy
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.replacing import (
    changing,
    replacing,
    rests_or_runs,
    runs,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.usage import User
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image_locks import kept_from_engines

ALONE_SECONDS = base_files._ALONE_SECONDS


@pytest.fixture
def base(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(base_files, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(base_files, "_ALONE_SECONDS", 0.0)
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    path = tmp_path / "base.raw"
    path.write_bytes(b"base" * 1024)
    return path


def before(path: Path) -> dict[str, object]:
    found = fingerprint(str(path))
    return found.as_dict() if found else {}


def overlay(base: Path, path: Path) -> None:
    with path.open("wb") as stream:
        write_empty_qcow2(stream, size=4096, backing=Backing(str(base), "raw"))


def test_any_number_keep_a_file_and_none_replaces_it(base: Path) -> None:
    link = base.with_name("link")
    link.symlink_to(base)
    tasks = [Bases(Clock()) for _number in range(3)]
    assert [task.keep(str(base)) for task in tasks] == [True] * 3
    assert not tasks[0].keep(str(link))
    for task in tasks:
        with pytest.raises(InUse, match="disks are being made from it"), alone(str(base), Clock()):
            pass
        task.close()
    with alone(str(link), Clock()), pytest.raises(InUse, match="it is being replaced by another task"):
        tasks[0].keep(str(base))
    with pytest.raises(InUse, match="it is being replaced by another task"):
        tasks[0].keep(str(base))
    tasks[0].close()
    assert tasks[0].keep(str(base))
    tasks[0].close()


def test_what_goes_nobody_makes_disks_from(base: Path) -> None:
    removing, making = Bases(Clock()), Bases(Clock())
    making.keep(str(base))
    with pytest.raises(InUse, match="disks are being made from it by another task"):
        removing.remove(str(base))
    making.close()
    for _look in range(2):
        removing.remove(str(base))
    with pytest.raises(InUse, match="another item of this task removes it"):
        removing.keep(str(base))
    with pytest.raises(InUse, match="it is being replaced by another task, or changed"):
        making.keep(str(base))
    removing.close()
    making.close()
    making.keep(str(base))
    with pytest.raises(InUse, match="another item of this task makes a disk from it"):
        making.remove(str(base))
    making.close()


class Hours(Clock):
    """A clock on which waiting takes no time; after so many seconds something happens."""

    def __init__(self, after: float, happens: Callable[[], None]) -> None:
        self.passed, self._after, self._happens = 0.0, after, happens

    def now(self) -> float:
        return self.passed

    def sleep(self, seconds: float) -> None:
        if self.passed < self._after <= self.passed + seconds:
            self._happens()
        self.passed += seconds


@pytest.mark.parametrize(("ends", "replaced"), [(600.0, True), (4000.0, False)])
def test_who_makes_disks_for_long_is_waited_for(
    base: Path, monkeypatch: pytest.MonkeyPatch, ends: float, replaced: bool
) -> None:
    monkeypatch.setattr(base_files, "_ALONE_SECONDS", ALONE_SECONDS)
    task = Bases(Clock())
    task.keep(str(base))
    clock = Hours(ends, task.close)
    told = rf"by another task \(process {os.getpid()} \(.+\)\) for more than 3600 seconds; .*or end it if it hangs"
    refused = contextlib.nullcontext() if replaced else pytest.raises(InUse, match=told)
    with refused, alone(str(base), clock):
        assert clock.passed < 700
    task.close()


def test_what_the_task_itself_removes_is_not_waited_for(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(base_files, "_KEEP_SECONDS", 600.0)
    with (
        held([base_lock(str(base))], timeout=0, wait=clock.wait_until),
        pytest.raises(InUse, match="another item of this task removes it"),
    ):
        Bases(clock).keep(str(base))


def test_who_keeps_a_file_may_let_go_of_it(base: Path) -> None:
    with contextlib.closing(Bases(Clock())) as task:
        assert [task.keep(str(base)) for _time in range(2)] == [True, False]
        task.leave(str(base))
        with pytest.raises(InUse, match="this task makes disks from the file"):
            task.require_not_kept(str(base))
        task.leave(str(base))
        task.require_not_kept(str(base))
        with alone(str(base), Clock()):
            pass


def test_engines_are_kept_away_for_the_last_look_only(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[bool] = []

    def look(path: str, *words: Any, **more: Any) -> list[User]:
        try:
            with kept_from_engines(path):
                looks.append(False)
        except InUse:
            looks.append(True)
        return []

    monkeypatch.setattr(usage, "users_of", look)
    with replacing(str(base), before(base)):
        assert looks == [False, True]


@pytest.mark.parametrize("look", [1, 2])
def test_what_comes_between_the_looks_is_seen(base: Path, monkeypatch: pytest.MonkeyPatch, look: int) -> None:
    users_of, looks = usage.users_of, []

    def then_comes(path: str, *words: Any, **more: Any) -> list[User]:
        found = users_of(path, *words, **more)
        looks.append(found)
        if len(looks) == look:
            overlay(base, base.with_name("disk.qcow2"))
        return found

    monkeypatch.setattr(usage, "users_of", then_comes)
    refused = pytest.raises(InUse, match="reads it") if look == 1 else contextlib.nullcontext()
    with refused, replacing(str(base), before(base)):
        pass
    assert len(looks) == 2


def test_descriptions_are_read_anew_for_the_last_look(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    monkeypatch.setattr(usage_domains, "_describe", lambda listed: read.append(1) or ())
    tools = Tools()
    for _time in range(2):
        usage.domains_using("/a", tools)
    assert len(read) == 1
    usage.look_anew(tools)
    usage.domains_using("/a", tools)
    assert len(read) == 2


def test_only_who_is_disturbed_is_in_the_way(base: Path) -> None:
    with changing(str(base), disturbs=rests_or_runs):
        pass
    overlay(base, base.with_name("disk.qcow2"))
    with pytest.raises(InUse), changing(str(base), disturbs=rests_or_runs):
        pass
    with changing(str(base), disturbs=runs):
        pass


@pytest.mark.parametrize(
    ("user", "by_content", "by_name"),
    [
        (User("domain", "a", "", running=True, top=True), True, True),
        (User("domain", "a", "", top=True), False, False),
        (User("domain", "a", ""), True, False),
        (User("overlay", "a", ""), True, False),
    ],
)
def test_whom_a_change_disturbs(user: User, by_content: bool, by_name: bool) -> None:
    assert (rests_or_runs(user), runs(user)) == (by_content, by_name)


@pytest.mark.parametrize("same", [True, False])
def test_a_finished_copy_takes_no_base_away(base: Path, same: bool) -> None:
    copy, seen = base.with_name("copy"), before(base)

    def publish() -> None:
        copy.write_bytes(b"other")
        publish_copy(str(copy), str(base), before=seen, record=None, same=False, reads_same=same)

    with contextlib.closing(Bases(Clock())) as task:
        task.keep(str(base))
        with pytest.raises(InUse, match="disks are being made from it"):
            publish()
    overlay(base, base.with_name("disk.qcow2"))
    with contextlib.nullcontext() if same else pytest.raises(InUse, match="reads it as its backing file"):
        publish()
    assert (base.read_bytes() == b"other") is same


def test_what_came_into_use_is_not_replaced(base: Path) -> None:
    found = before(base)
    overlay(base, base.with_name("disk.qcow2"))
    with pytest.raises(InUse, match=r"the overlay \S+disk\.qcow2 reads it"), replacing(str(base), found):
        pass


def test_folders_that_are_named_count_too(base: Path) -> None:
    found, other = before(base), base.with_name("other")
    other.mkdir()
    overlay(base, other / "disk.qcow2")
    with replacing(str(base), found):
        pass
    with pytest.raises(InUse), replacing(str(base), found, search_paths=[str(other)]):
        pass


def test_nobody_begins_meanwhile(base: Path) -> None:
    with replacing(str(base), before(base)), pytest.raises(InUse, match="being replaced"):
        Bases(Clock()).keep(str(base))


def test_a_new_file_waits_for_nobody(base: Path) -> None:
    with contextlib.closing(Bases(Clock())) as task:
        task.keep(str(base.with_name("new")))
        with replacing(str(base.with_name("new")), None):
            pass
