# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    EngineError,
    ImageOpsError,
    InUse,
    InvalidOption,
    NoSpace,
    NotFound,
    TimedOut,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_acts
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_checks as checks
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_definition import differences
from ansible_collections.imageops.fleet.plugins.module_utils._plan import KNOWN_AFTER
from ansible_collections.imageops.fleet.tests.unit.snapshot_host import RUNNING, Host, apply


@pytest.fixture
def host(tmp_path: Path, state_dir: Path) -> Iterator[Host]:
    found = Host(tmp_path)
    yield found
    found.tools.close()


def test_a_new_snapshot_is_foretold_taken_and_found(host: Host) -> None:
    plan = host.plan("a", description="text")
    assert [step.title for step in plan.steps] == ["take the snapshot a of web"]
    assert plan.before == {"vm": "web", "name": "a", "state": "absent", "vm_state": "stopped"}
    assert plan.after["created"] == KNOWN_AFTER and plan.after["kind"] == "internal" and plan.after["current"]
    found = apply(plan)
    assert {**found, "created": KNOWN_AFTER} == plan.after
    again = host.plan("a")
    assert not again.changed and again.after == again.observe()


def test_memory_goes_with_a_running_vm(host: Host) -> None:
    host.have(RUNNING)
    plan = host.plan("a")
    assert plan.after["memory"] and [step.title for step in plan.steps] == ["take the snapshot a of web with memory"]


def test_items_of_a_list_see_what_earlier_ones_make(host: Host) -> None:
    names = [("a", {}), ("b", {}), ("a", {"state": "reverted"}), ("c", {}), ("a", {"state": "absent"})]
    plans = [host.next(name, **options) for name, options in names]
    assert [plan.provisional for plan in plans] == [False, True, True, True, True]
    assert [plan.after.get("parent") for plan in plans] == ["", "a", "", "a", None]
    assert plans[2].after["children"] == ["b"]


def test_check_mode_tells_what_the_last_item_leaves(host: Host) -> None:
    names = [("a", {}), ("b", {}), ("a", {"state": "reverted"}), ("a", {"state": "absent"})]
    told = [plan.foretell() for plan in [host.next(name, **options) for name, options in names]]
    assert [one["state"] for one in told] == ["absent", "present", "absent", "absent"]
    assert (told[1]["parent"], told[1]["created"]) == ("", KNOWN_AFTER)
    assert ["engine_seconds" in one for one in told] == [True, True, False, False]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("7", InvalidOption),
        ("a\n", InvalidOption),
        ("a/b", InvalidOption),
        ("", InvalidOption),
        ("-x", InvalidOption),
        ("x" * 129, InvalidOption),
    ],
)
def test_names_that_are_refused(host: Host, name: str, kind: type[ImageOpsError]) -> None:
    with pytest.raises(kind, match=r"^name: "):
        host.plan(name)


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"vm": "gone"}, NotFound, "no VM called gone"),
        ({"vm": None}, InvalidOption, "give the name of the VM"),
        ({"state": "reverted"}, NotFound, "has no snapshot 'x'; it has: none"),
        ({"memory": True}, InvalidOption, "there is no memory to keep"),
        ({"uri": "qemu+ssh://far/system"}, Unsupported, "remote host far"),
    ],
)
def test_refusals(host: Host, options: dict[str, Any], kind: type[ImageOpsError], says: str) -> None:
    with pytest.raises(kind, match=says):
        host.plan("x", **options)


def test_disks_alone_of_a_running_vm_would_be_torn(host: Host) -> None:
    host.have(RUNNING)
    with pytest.raises(Unsupported, match="would be torn"):
        host.plan("x", memory=False)


@pytest.mark.parametrize(
    ("host_options", "says"),
    [
        ({"format": "raw"}, r"the disk vda of web \(.*disk.qcow2\) is raw"),
        (
            {"more": "<disk type='network'><source protocol='rbd' name='p/i'/><target dev='vdb'/></disk>"},
            "vdb of web is not a",
        ),
        ({"more": "<tpm model='tpm-tis'><backend type='emulator'/></tpm>"}, "has a TPM"),
    ],
)
def test_vms_that_an_internal_snapshot_can_not_hold(host: Host, host_options: dict[str, Any], says: str) -> None:
    host.have(**host_options)
    with pytest.raises(Unsupported, match=says):
        host.plan("x")


def test_a_snapshot_in_the_disk_that_libvirt_does_not_know(host: Host) -> None:
    host.have_snapshot("stray")
    with pytest.raises(Conflict, match="holds a snapshot 'stray' that libvirt does not know"):
        host.plan("stray")


def test_a_revert_that_would_bring_back_only_a_part(host: Host) -> None:
    apply(host.plan("a"))
    with host.disk.open("r+b") as stream:
        stream.truncate()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(host.disk), "1M"], check=True)
    with pytest.raises(Conflict, match="does not hold the snapshot 'a'"):
        host.plan("a", state="reverted")


def test_a_disk_that_somebody_holds(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    held = checks.holders
    monkeypatch.setattr(checks, "holders", lambda path: type("H", (), {"sentence": lambda self: "opened"})())
    with pytest.raises(InUse, match="disk.qcow2, a disk of web, is opened"):
        host.plan("a")
    assert held(str(host.disk)) is None


def test_memory_needs_room(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.have(RUNNING)
    asked: list[int] = []

    def refuse(path: str, needed: int, *, what: str) -> None:
        asked.append(needed)
        raise NoSpace(what)

    monkeypatch.setattr(checks, "require_space", refuse)
    with pytest.raises(NoSpace, match="The memory of web"):
        host.plan("a")
    assert asked == [1024 * 1024]


def reverted(host: Host, name: str) -> Any:
    return host.plan(name, state="reverted")


def test_a_point_that_is_reached_is_not_reverted_to_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "require_held", lambda snapshot: None)
    apply(host.plan("a"))
    assert not reverted(host, "a").changed
    with host.disk.open("ab") as stream:
        stream.write(b"written")
    plan = reverted(host, "a")
    assert [step.title for step in plan.steps] == ["revert web to the snapshot a"]
    assert apply(plan)["current"]
    assert not reverted(host, "a").changed


def test_a_failed_revert_tells_the_state_and_keeps_the_vm(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "require_held", lambda snapshot: None)
    apply(host.plan("a"))
    host.disk.write_bytes(host.disk.read_bytes() + b"x")

    def lose(domain: Any, name: str, *, start: bool) -> None:
        domain.raw.undefineFlags(2)
        raise EngineError("libvirt refused reverting.", libvirt_code=1)

    monkeypatch.setattr(vm_snapshot_acts, "revert_to_snapshot", lose)
    with pytest.raises(EngineError, match="was stopped before and is stopped now; libvirt had lost its definition"):
        apply(reverted(host, "a"))
    assert host.tools.hypervisor("x").domain("web")


def test_deleting_alone_and_with_children(host: Host) -> None:
    for name in "abc":
        apply(host.plan(name))
    apply(host.plan("b", state="absent"))
    assert host.plan("c").before["parent"] == "a"
    plan = host.plan("a", state="absent", remove_children=True)
    assert plan.steps[0].title == "delete the snapshot a of web and those below it: c"
    assert apply(plan) == {"vm": "web", "name": "a", "state": "absent", "vm_state": "stopped"}
    assert not host.plan("c", state="absent").changed


def test_a_wait_ends(host: Host) -> None:
    ended = threading.Event()
    with pytest.raises(TimedOut, match="^timeout: it did not end within 0.01 seconds"):
        vm_snapshot_acts.bounded(lambda: bool(ended.wait(60)) and None, timeout=0.01, what="it")
    ended.set()


def test_what_differs_between_two_definitions() -> None:
    now = parse(
        "<domain><name>a</name><memory>2</memory>"
        "<devices><disk><target dev='vda'/></disk><disk><target dev='vdb'/></disk>"
        "<interface><mac address='52:54:00:00:00:01'/></interface><rng model='virtio'/></devices></domain>"
    )
    then = parse(
        "<domain>\n <name>a</name><memory>1</memory><devices><disk><target dev='vda'/></disk>"
        "<interface><mac address='52:54:00:00:00:01'/><model/></interface><rng model='virtio'/></devices></domain>"
    )
    assert differences(now, then) == ["memory", "disk vdb", "interface 52:54:00:00:00:01"]
    assert differences(now, now) == []
