# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, EngineError, TimedOut
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_points import read_points
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import snapshots as listing
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.domain import Domain
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.snapshots import delete_snapshot, snapshots
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import get, serialise
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_acts as acts
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_inside as inside
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_expand import every_snapshot
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_journal import (
    DELETE,
    REVERT,
    TAKE,
    journal_path,
    read_journal,
)
from ansible_collections.imageops.fleet.tests.unit.snapshot_host import RUNNING, Host, apply


class Killed(BaseException):
    """The module died."""


@pytest.fixture
def host(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """The test driver knows snapshots and no disks: what it deletes goes from the disk too."""
    found = Host(tmp_path)

    def delete(domain: Domain, name: str, *, children: bool) -> None:
        delete_snapshot(domain, name, children=children)
        subprocess.run(["qemu-img", "snapshot", "-d", name, str(found.disk)], check=False, capture_output=True)

    monkeypatch.setattr(inside, "delete_snapshot", delete)
    # It can't forget a snapshot otherwise.
    monkeypatch.setattr(inside, "forget_snapshot", partial(delete_snapshot, children=False))
    yield found
    found.tools.close()


def domain_of(host: Host) -> Domain:
    found = host.tools.hypervisor("test:///default").domain("web")
    assert found is not None
    return found


def die_at(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(name: str) -> None:
        if name == f"vm_snapshot:{point}":
            raise Killed

    monkeypatch.setattr(inside, "fault_point", die)


def interrupt(host: Host, point: str, name: str, **options: Any) -> None:
    """Apply the plan until the point, at which the module dies."""
    with pytest.MonkeyPatch.context() as patch:
        die_at(point, patch)
        with pytest.raises(Killed):
            apply(host.plan(name, **options))


def known(host: Host) -> list[str]:
    return [found.name for found in snapshots(domain_of(host))]


def held(host: Host) -> list[str]:
    said = subprocess.run(["qemu-img", "snapshot", "-l", str(host.disk)], capture_output=True, text=True, check=True)
    return [line.split()[1] for line in said.stdout.splitlines()[2:]]


def settled(host: Host) -> bool:
    return not os.path.exists(journal_path(domain_of(host).uuid))


def test_what_ends_well_leaves_no_mark(host: Host) -> None:
    apply(host.plan("a"))
    apply(host.plan("a", state="absent"))
    assert settled(host)


@pytest.mark.parametrize("point", ["inside-begun", "inside-ended"])
def test_an_interrupted_taking_is_finished_or_undone(host: Host, point: str) -> None:
    interrupt(host, point, "a")
    plan = host.plan("a")
    assert plan.steps[0].title == "finish or undo the interrupted taking of the snapshot a"
    assert len(plan.steps) == (2 if point == "inside-begun" else 1)
    apply(plan)
    assert known(host) == ["a"] and settled(host) and not host.plan("a").changed


def test_what_is_left_in_the_disk_goes_when_the_mark_is_ours(host: Host) -> None:
    interrupt(host, "inside-begun", "a")
    host.have_snapshot("a")
    apply(host.plan("other"))
    assert held(host) == [] and known(host) == ["other"] and settled(host)


def test_a_snapshot_of_somebody_else_stays(host: Host) -> None:
    interrupt(host, "inside-begun", "a")
    host.have_snapshot("theirs")
    with pytest.raises(Conflict, match="holds a snapshot 'theirs' that libvirt does not know"):
        host.plan("theirs")


def test_what_is_left_never_passes_for_a_snapshot(host: Host) -> None:
    interrupt(host, "inside-begun", "a")
    host.have_snapshot("a")
    interrupt(host, "inside-leftover-known", "other")
    assert known(host) == ["a"]
    plan = host.plan("a", state="absent")
    assert plan.steps[0].title == "finish deleting a"
    apply(plan)
    assert known(host) == [] and held(host) == [] and settled(host)


def test_what_is_left_makes_place_for_a_new_one(host: Host) -> None:
    interrupt(host, "inside-begun", "a")
    host.have_snapshot("a")
    interrupt(host, "inside-leftover-known", "other")
    plan = host.plan("a")
    assert [step.title for step in plan.steps] == ["finish deleting a", "take the snapshot a of web"]
    assert apply(plan)["state"] == "present" and held(host) == [] and settled(host)


def test_what_can_not_be_deleted_is_told(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(host, "inside-begun", "a")
    host.have_snapshot("a")
    monkeypatch.setattr(inside, "delete_snapshot", delete_snapshot)
    with pytest.raises(EngineError, match="still holds what an interrupted run left of the snapshot 'a'"):
        apply(host.plan("other"))
    assert not settled(host)


def test_an_interrupted_deletion_is_finished(host: Host) -> None:
    for name in "ab":
        apply(host.plan(name))
    interrupt(host, "inside-begun", "a", state="absent", remove_children=True)
    assert read_journal(domain_of(host)).open == ["finish deleting b, a"]
    assert held(host) == [] and known(host) == ["a", "b"]
    assert apply(host.plan("a", state="absent", remove_children=True))["state"] == "absent"
    assert known(host) == [] and settled(host)


def test_a_failure_is_put_right_at_once(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*words: Any, **options: Any) -> None:
        host.have_snapshot("a")
        raise EngineError("libvirt refused.")

    monkeypatch.setattr(acts, "create_snapshot", fail)
    with pytest.raises(EngineError, match="^libvirt refused"):
        apply(host.plan("a"))
    assert held(host) == [] and settled(host)


def test_what_libvirt_may_go_on_with_is_looked_at_by_the_next_run(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*words: Any, **options: Any) -> None:
        raise TimedOut("timeout: late.")

    monkeypatch.setattr(acts, "bounded", late)
    with pytest.raises(TimedOut):
        apply(host.plan("a"))
    assert read_journal(domain_of(host)).leftovers == ["a"]


def refuse_deletion(host: Host, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*words: Any, **options: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(acts, "delete_snapshot", refuse)
        with pytest.raises(type(error)):
            apply(host.plan("a", state="absent"))


@pytest.mark.parametrize(
    "error", [EngineError("libvirt refused.", libvirt_code=1), TimedOut("libvirt refused: busy.", libvirt_code=68)]
)
def test_a_deletion_that_libvirt_refused_is_not_carried_out_later(
    host: Host, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    apply(host.plan("a"))
    host.have_snapshot("a")
    refuse_deletion(host, monkeypatch, error)
    assert settled(host) and known(host) == ["a"] and held(host) == ["a"]


def test_what_was_made_anew_meanwhile_stays(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(host.plan("a"))
    refuse_deletion(host, monkeypatch, TimedOut("timeout: late."))
    mark = read_journal(domain_of(host)).inside
    assert mark is not None and inside.doomed(domain_of(host)) == ["a"]
    mark["there"]["a"]["created"] -= 60
    read_journal(domain_of(host)).note(inside=mark)
    assert inside.doomed(domain_of(host)) == []
    apply(host.plan("b"))
    assert known(host) == ["a", "b"] and settled(host)


def with_second_disk(host: Host, *, and_then_without: bool = False) -> Path:
    """Another disk of the VM, or one that left it."""
    second = host.disk.with_name("second.qcow2")
    if and_then_without:
        domain = domain_of(host)
        root = domain.xml(secure=True)
        devices = root.find("devices")
        assert devices is not None
        for disk in devices.findall("disk"):
            if get(disk, "target/@dev") == "vdb":
                devices.remove(disk)
        host.tools.hypervisor("test:///default").define(serialise(root))
        return second
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(second), "1M"], check=True)
    more = f"<disk type='file' device='disk'><driver type='qcow2'/><source file='{second}'/><target dev='vdb'/></disk>"
    host.have(more=more)
    return second


@pytest.mark.parametrize("libvirt_knows", [True, False])
def test_a_disk_that_left_the_vm_does_not_hold_up_the_rest(host: Host, libvirt_knows: bool) -> None:
    second = with_second_disk(host)
    if libvirt_knows:
        apply(host.plan("a"))
    for path in (host.disk, second):
        subprocess.run(["qemu-img", "snapshot", "-c", "a", str(path)], check=True)
    with pytest.raises(Killed), inside.marked(domain_of(host), DELETE, ["a"], timeout=5):
        raise Killed
    with_second_disk(host, and_then_without=True)
    plan = host.plan("other")
    assert [warning.split(" holds ")[0] for warning in plan.warnings] == [str(second)]
    assert f"qemu-img snapshot -d a {second}" in plan.warnings[0]
    apply(plan)
    assert known(host) == ["other"] and held(host) == [] and settled(host)
    assert [point.name for point in read_points(str(second)).points] == ["a"]
    assert host.plan("other").warnings == ()


def test_the_path_of_a_disk_that_left_holds_something_else(host: Host) -> None:
    second = with_second_disk(host)
    for path in (host.disk, second):
        subprocess.run(["qemu-img", "snapshot", "-c", "a", str(path)], check=True)
    with pytest.raises(Killed), inside.marked(domain_of(host), DELETE, ["a"], timeout=5):
        raise Killed
    with_second_disk(host, and_then_without=True).write_text("no image at all")
    plan = host.plan("other")
    assert plan.warnings == ()
    apply(plan)
    assert known(host) == ["other"] and held(host) == [] and settled(host)


def test_a_snapshot_of_a_disk_whose_path_holds_something_else(host: Host) -> None:
    second = with_second_disk(host)
    apply(host.plan("a"))
    with_second_disk(host, and_then_without=True)
    second.write_text("no image at all")
    apply(host.plan("a", state="absent"))
    assert known(host) == [] and settled(host)


def test_retention_does_not_count_what_goes_anyway(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(host.plan("a"))
    refuse_deletion(host, monkeypatch, TimedOut("timeout: late."))
    given = {"vm": "web", "vms": None, "name": "*", "state": "absent", "keep": 0, "older_than": None}
    assert list(every_snapshot({**given, "uri": "test:///default"}, host.tools)) == []


def test_a_vm_that_libvirt_left_paused_runs_on(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.have(RUNNING)
    domain = domain_of(host)
    with pytest.raises(Killed), inside.marked(domain, TAKE, ["a"], timeout=5):
        raise Killed
    mark = read_journal(domain).inside
    domain.suspend()
    inside.recover_inside(domain, timeout=5)
    assert domain.state == "paused", "somebody asked for that"
    read_journal(domain).note(inside=mark)
    monkeypatch.setattr(listing, "_OWN_PAUSES", (1,))
    inside.recover_inside(domain, timeout=5)
    assert domain.state == "running" and settled(host)


def let(domain: Domain, state: str) -> None:
    if domain.state != state:
        domain.suspend() if state == "paused" else domain.resume()


@pytest.mark.parametrize("before", ["running", "paused"])
@pytest.mark.parametrize("held", ["running", "paused"])
@pytest.mark.parametrize("refused", [True, False])
def test_a_vm_that_was_paused_before_a_revert_stays_so(
    host: Host, monkeypatch: pytest.MonkeyPatch, before: str, held: str, refused: bool
) -> None:
    host.have(RUNNING)
    monkeypatch.setattr(listing, "_OWN_PAUSES", (1,))
    domain = domain_of(host)
    let(domain, held)
    apply(host.plan("a", memory=True))
    let(domain, before)
    end = EngineError("libvirt refused.", libvirt_code=1) if refused else Killed()
    with pytest.raises(type(end)), inside.marked(domain, REVERT, ["a"], timeout=5, start=False):
        let(domain, "paused")
        raise end
    if not refused:
        inside.recover_inside(domain, timeout=5)
    goes_on = before == "running" and (refused or held == "running")
    assert domain.state == ("running" if goes_on else "paused") and settled(host)


def test_a_revert_that_did_not_begin_leaves_nothing(host: Host) -> None:
    apply(host.plan("a"))
    domain = domain_of(host)
    with pytest.raises(Killed), inside.marked(domain, REVERT, ["a"], timeout=5, start=False):
        raise Killed
    assert read_journal(domain).leftovers == []
    assert inside.recover_inside(domain, timeout=5) is None
    assert settled(host)


def test_a_revert_of_some_disks_is_done_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(host.plan("a"))
    domain, done = domain_of(host), []
    with pytest.raises(Killed), inside.marked(domain, REVERT, ["a"], timeout=5, start=False):
        raise Killed
    monkeypatch.setattr(inside, "half_reverted", lambda disks, name, left: True)
    monkeypatch.setattr(acts, "revert_to_snapshot", lambda domain, name, *, start: done.append((name, start)))
    apply(host.plan("b"))
    assert done == [("a", False)] and settled(host)


def test_a_revert_that_is_asked_for_does_it_alone(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    apply(host.plan("a"))
    domain = domain_of(host)
    with pytest.raises(Killed), inside.marked(domain, REVERT, ["a"], timeout=5, start=False):
        raise Killed
    monkeypatch.setattr(inside, "half_reverted", lambda disks, name, left: True)
    acts.recover(domain, host.tools.hypervisor("test:///default"), host.tools, timeout=5, reverts=True)
    assert not settled(host)


def test_which_disks_went_back(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in ("a", "b")]
    for path in paths:
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
        subprocess.run(["qemu-img", "snapshot", "-c", "s", path], check=True)
        subprocess.run(["qemu-io", "-c", "write -P 1 0 64k", path], check=True, stdout=subprocess.DEVNULL)
        os.utime(path, ns=(10, 10))
    assert not inside.half_reverted(paths, "s")
    subprocess.run(["qemu-img", "snapshot", "-a", "s", paths[0]], check=True)
    assert inside.half_reverted(paths, "s") and not inside.half_reverted(paths, "other")
    os.utime(paths[0], ns=(5, 5))
    assert not inside.half_reverted(paths, "s"), "the VM went on since"
    subprocess.run(["qemu-img", "snapshot", "-a", "s", paths[1]], check=True)
    assert not inside.half_reverted(paths, "s")


def test_deletes_are_marked_children_first(host: Host) -> None:
    for name in "ab":
        apply(host.plan(name))
    interrupt(host, "inside-ended", "a", state="absent", remove_children=True)
    mark = read_journal(domain_of(host)).inside
    assert mark is not None and (mark["act"], mark["names"]) == (DELETE, ["b", "a"])
