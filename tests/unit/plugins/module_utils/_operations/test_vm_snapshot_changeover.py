# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.sources import Disk, Layer
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_changeover as changeover
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_journal import (
    Journal,
    read_journal,
)
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image_locks import Holders

WRITING, READING = Holders(True, ("process 7 (qemu)",)), Holders(False, ("process 7 (qemu)",))


class Vm:
    """A running VM with one disk, of which libvirt lists `now`, and `then` for its next start."""

    name, uuid, id, active = "web", "c0ffee", 3, True

    def __init__(self, now: str, then: str) -> None:
        self.now, self.then = now, then

    def disks(self, *, inactive: bool = False) -> list[Disk]:
        path = self.then if inactive else self.now
        return [Disk("vda", "disk", "virtio", path, "qcow2", False, (Layer(path, "qcow2"),))]


class Played:
    """Two files, and what QEMU's locks and libvirt tell of them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.top, self.base = str(folder / "top.qcow2"), str(folder / "base.qcow2")
        for path in (self.top, self.base):
            Path(path).write_bytes(b"")
        self.locks: dict[str, Holders] = {}
        self.forgotten = False
        self.vm: Any = Vm(self.top, self.top)
        monkeypatch.setattr(changeover, "holders", self.locks.get)
        monkeypatch.setattr(changeover, "forgotten_end", lambda domain, target: self.forgotten)

    def left(self, **mark: int) -> bool:
        return changeover.has_left(self.vm, "vda", {"top": self.top, "base": self.base, **mark})

    def listed(self, *, own: Collection[str] = (), managed: Collection[str] = ()) -> None:
        changeover.require_listed(self.vm, Journal("c0ffee", own=set(own), managed=set(managed)))


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


def test_nobody_left_who_was_not_asked_to(played: Played) -> None:
    played.locks.update({played.top: WRITING, played.base: WRITING})
    assert not played.left()
    assert not played.left(leaving=2)
    played.vm.now = played.base
    assert not played.left(leaving=3)


def test_a_guest_that_was_asked_to_leave_writes_to_the_lower_layer(played: Played) -> None:
    played.locks.update({played.top: WRITING, played.base: WRITING})
    assert played.left(leaving=3)


def test_a_guest_did_not_leave_for_a_layer_that_nobody_writes_to(played: Played) -> None:
    played.locks.update({played.top: WRITING, played.base: READING})
    assert not played.left(leaving=3)
    played.forgotten = True
    assert not played.left()


def test_a_change_over_of_somebody_else_counts_when_qemu_has_closed_the_upper_layer(played: Played) -> None:
    played.forgotten = True
    played.locks[played.base] = WRITING
    assert played.left()


@pytest.mark.parametrize(("top", "base"), [(WRITING, WRITING), (WRITING, None), (None, None)])
def test_what_locks_do_not_tell_is_asked(played: Played, top: Holders | None, base: Holders | None) -> None:
    played.forgotten = True
    played.locks.update({path: held for path, held in ((played.top, top), (played.base, base)) if held})
    with pytest.raises(
        Conflict, match=r"changed over from .*top.qcow2 to .*base.qcow2, .*virsh qemu-monitor-command web"
    ):
        played.left()


def test_a_vm_that_stopped_may_have_written_to_either(played: Played) -> None:
    mark: dict[str, Any] = {"top": played.top, "base": played.base}
    changeover.require_told(played.vm, mark)
    with pytest.raises(
        Conflict, match=r"If it wrote to .*base.qcow2 last \(at \d{4}-.*virsh edit\); else start the VM"
    ):
        changeover.require_told(played.vm, {**mark, "leaving": 3})


@pytest.mark.parametrize(("base", "left"), [(WRITING, True), (READING, False)])
def test_a_vm_that_libvirt_takes_for_stopped_may_run_on(played: Played, base: Holders, left: bool) -> None:
    played.vm.active = False
    played.locks[played.base] = base
    assert not played.left()
    assert played.left(leaving=3) is left
    # Whoever commits now is told who has the layers open.
    changeover.require_told(played.vm, {"top": played.top, "base": played.base, "leaving": 3})


def test_the_process_that_will_leave_is_noted_once(played: Played, state_dir: Path) -> None:
    journal = Journal("c0ffee", merging={"top": played.top, "base": played.base})
    changeover.note_leaving(played.vm, journal)
    assert (read_journal(played.vm).merging or {})["leaving"] == 3
    (written,) = (state_dir / "snapshots").iterdir()
    written.unlink()
    changeover.note_leaving(played.vm, journal)
    assert not written.exists()


@pytest.mark.parametrize(
    ("overlay", "layer", "over"),
    [(None, WRITING, False), (WRITING, READING, True), (WRITING, None, True), (WRITING, WRITING, False)],
)
def test_the_overlay_counts_when_qemu_has_let_go_of_the_layer(
    played: Played, overlay: Holders | None, layer: Holders | None, over: bool
) -> None:
    """QEMU opens overlays before the guest goes on in them."""
    played.vm.now = played.vm.then = played.base
    played.locks.update({path: held for path, held in ((played.top, overlay), (played.base, layer)) if held})
    mark = {"overlays": {"vda": played.top}, "layers": {"vda": [played.base, "qcow2"]}}
    assert changeover.went_over(played.vm, mark) is over


def test_an_overlay_that_libvirt_lists_is_in_use(played: Played) -> None:
    assert changeover.went_over(played.vm, {"overlays": {"vda": played.top}})


def test_libvirt_lists_what_it_should(played: Played) -> None:
    played.listed(own={played.top}, managed={played.base})
    played.vm.then = played.base
    # Somebody else's business.
    played.listed()
    played.vm.active = False
    played.listed(own={played.top}, managed={played.base})


def test_other_layers_than_libvirt_lists_are_not_worked_at(played: Played) -> None:
    played.vm.then = played.base
    with pytest.raises(Conflict, match="the disk vda of web changed over to another layer.*until the VM stops"):
        played.listed(own={played.top}, managed={played.base})
    Path(played.top).unlink()
    with pytest.raises(Conflict, match="until the VM stops"):
        played.listed()


def test_a_job_that_libvirt_alone_shows_hinders(played: Played) -> None:
    played.forgotten = True
    with pytest.raises(Conflict, match="until the VM stops"):
        played.listed()
    # It is no business of other disks.
    changeover.require_listed(played.vm, Journal("c0ffee"), target="vdb")
