# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, InUse
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import Connection
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_changeover as changeover
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_merge as merge
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_journal import read_journal
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image_locks import Holders
from ansible_collections.imageops.fleet.tests.unit.snapshot_host import NODE, RUNNING, STOPPED


class Played:
    """A VM that writes to an overlay whose merge into the layer below was interrupted."""

    def __init__(self, folder: Path, state: int) -> None:
        self.base, self.top = str(folder / "disk.qcow2"), str(folder / "top.qcow2")
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.base, "1M"], check=True)
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", self.base, "-F", "qcow2", self.top], check=True
        )
        node = folder / "node.xml"
        node.write_text(NODE.format(state=state, disk=self.top, format="qcow2", more=""))
        self.tools = Tools(connect=lambda uri: Connection.open(f"test://{node}"))
        self.connection = self.tools.hypervisor("test:///default")
        found = self.connection.domain("web")
        assert found is not None
        self.domain = found

    def mark(self, **more: int) -> None:
        formats = {self.top: "qcow2", self.base: "qcow2"}
        mark: dict[str, Any] = {"top": self.top, "base": self.base, "overlays": [], "formats": formats}
        read_journal(self.domain).note(merging={**mark, **more}, own={self.top}, managed={self.base})

    def tidy(self) -> None:
        merge.tidy_layers(self.domain, self.connection, self.tools, timeout=0)

    @property
    def disk(self) -> str:
        return next(disk.path for disk in self.domain.disks(inactive=True) if disk.target == "vda")


def test_a_change_over_that_libvirt_forgot_is_noted_for_the_next_start(
    tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played = Played(tmp_path, RUNNING)
    played.mark(leaving=played.domain.id)
    held = {played.top: Holders(True, ()), played.base: Holders(True, ())}
    monkeypatch.setattr(merge, "block_job", lambda domain, target: None)
    for module in (changeover, merge):
        monkeypatch.setattr(module, "holders", held.get)
    played.tidy()
    assert played.disk == played.base
    # QEMU has it open until the VM stops.
    assert Path(played.top).exists() and read_journal(played.domain).own == {played.top}
    assert not read_journal(played.domain).open
    played.tools.close()


@pytest.mark.parametrize("kind", ["copy", "pull", "backup"])
def test_somebody_elses_job_is_not_taken_for_a_merge(
    tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A copy that is ready would be changed over to, and the layer it was made of be removed."""
    played = Played(tmp_path, RUNNING)
    played.mark()
    job = {"target": "vda", "type": kind, "done": 1, "total": 1}
    monkeypatch.setattr(merge, "block_job", lambda domain, target: job)
    monkeypatch.setattr(merge._Merging, "_commit_live", lambda *_words: pytest.fail("it was ended"))
    with pytest.raises(InUse, match=f"a {kind} runs on the disk vda of web"):
        played.tidy()
    assert played.disk == played.top and Path(played.top).exists()
    played.tools.close()


def test_a_stopped_vm_that_may_have_left_the_overlay_is_not_merged(tmp_path: Path, state_dir: Path) -> None:
    """What the guest wrote to the lower layer since would be lost."""
    played = Played(tmp_path, STOPPED)
    before = Path(played.base).read_bytes()
    played.mark(leaving=1)
    with pytest.raises(Conflict, match="the VM stopped before this module could ask"):
        played.tidy()
    assert Path(played.top).exists() and Path(played.base).read_bytes() == before
    played.mark()
    played.tidy()
    assert played.disk == played.base and not Path(played.top).exists()
    played.tools.close()
