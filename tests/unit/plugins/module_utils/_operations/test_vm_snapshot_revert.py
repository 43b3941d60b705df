# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the next run does with an interrupted revert to an external snapshot."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_revert
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_revert import recover_revert


class Played:
    """A stopped VM that rests on an overlay of an interrupted revert, and what was done with it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.overlay = folder / "overlay"
        self.overlay.write_bytes(b"as it was made")
        self.definition = str(self.overlay)
        self.done: list[str] = []
        self.mark: dict[str, Any] = {"name": "before", "overlays": {"vda": str(self.overlay)}, "start": True}
        self.mark |= {"stopping": True, "written_at": {"vda": os.stat(self.overlay).st_mtime_ns}}
        journal = SimpleNamespace(reverting=self.mark, note=lambda **_given: self.done.append("unmarked"))
        monkeypatch.setattr(vm_snapshot_revert, "read_journal", lambda _domain: journal)
        monkeypatch.setattr(vm_snapshot_revert, "snapshots", lambda _domain: [SimpleNamespace(name="before")])
        monkeypatch.setattr(vm_snapshot_revert, "described", lambda _domain, name: name)
        monkeypatch.setattr(vm_snapshot_revert, "describe_anew", lambda *_given, **_more: self.done.append("described"))
        monkeypatch.setattr(vm_snapshot_revert, "tidy_layers", lambda *_given, **_more: None)
        again = SimpleNamespace(run=lambda: self.done.append("reverted"))
        monkeypatch.setattr(vm_snapshot_revert, "_Revert", lambda *_given, **_more: again)

    def recover(self, *, active: bool = False) -> list[str]:
        disks = [SimpleNamespace(path=self.definition)]
        domain: Any = SimpleNamespace(active=active, disks=lambda **_given: disks)
        given: Any = None
        recover_revert(domain, given, given, timeout=1)
        return self.done


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


def test_one_that_was_cut_before_the_vm_started_is_done_again(played: Played) -> None:
    assert played.recover() == ["reverted"]


def test_one_whose_definition_is_still_the_old_one_is_done_again(played: Played) -> None:
    played.definition = "/elsewhere"
    assert played.recover() == ["reverted"]


def test_what_the_guest_wrote_after_it_is_kept(played: Played) -> None:
    os.utime(played.overlay, ns=(1, os.stat(played.overlay).st_mtime_ns + 1))
    assert played.recover() == ["described", "unmarked"]


def test_a_mark_of_an_earlier_version_throws_nothing_away(played: Played) -> None:
    del played.mark["written_at"]
    assert played.recover() == ["described", "unmarked"]


def test_a_vm_that_runs_is_let_run(played: Played) -> None:
    assert played.recover(active=True) == ["described", "unmarked"]
