# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import snapshots as listing
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot_external as external
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_external import (
    make_overlay,
    recover_taking,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_journal import read_journal
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit.snapshot_host import RUNNING, Host


def test_the_layer_below_may_be_an_overlay_that_somebody_else_made(tmp_path: Path) -> None:
    base, below, new = tmp_path / "base.raw", tmp_path / "below.qcow2", tmp_path / "new.qcow2"
    base.write_bytes(bytes(1 << 20))
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "raw", str(below)], check=True
    )  # without a record of ours
    domain = cast(Any, SimpleNamespace(name="vm"))
    make_overlay(domain, str(new), below=str(below), format="qcow2", tools=Tools())
    record = read_record(str(new))
    assert record is not None and record.options["backing"] == str(below)


@pytest.mark.parametrize(
    ("before", "beside", "after"),
    [
        ("running", {"memory": "/s1.memory"}, "running"),
        ("paused", {"memory": "/s1.memory"}, "paused"),
        ("running", {"nvram": "/s1.nvram"}, "paused"),
    ],
)
def test_a_vm_that_was_paused_for_its_memory_runs_on(
    before: str, beside: dict[str, str], after: str, tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test driver knows no other reason to pause than the user's wish."""
    monkeypatch.setattr(listing, "_OWN_PAUSES", (1,))
    host = Host(tmp_path)
    tools = host.have(RUNNING)
    connection = tools.hypervisor("test:///default")
    domain = connection.domain("web")
    assert domain is not None
    taking = {"name": "s1", "overlays": {}, "description": "", "state": before}
    read_journal(domain).note(taking=taking, beside={"s1": beside})
    domain.suspend()
    recover_taking(domain, connection, tools)
    assert domain.state == after
    assert not read_journal(domain).taking
    tools.close()


@pytest.mark.parametrize("memory", [True, False])
def test_what_libvirt_did_not_note_any_more_is_noted_and_not_taken_again(
    memory: bool, tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libvirt was killed after the guest had gone on in the overlays, maybe after it had noted these for the next start."""
    monkeypatch.setattr(external, "went_over", lambda domain, mark: True)
    # The test driver knows no block jobs.
    monkeypatch.setattr(vm_snapshot, "require_no_job", lambda domain, journal: None)
    host = Host(tmp_path)
    tools = host.have(RUNNING)
    connection = tools.hypervisor("test:///default")
    domain = connection.domain("web")
    assert domain is not None
    overlay = str(tmp_path / "overlay.qcow2")
    make_overlay(domain, overlay, below=str(host.disk), format="qcow2", tools=tools)
    taking = {
        "name": "s1",
        "overlays": {"vda": overlay},
        "layers": {"vda": [str(host.disk), "qcow2"]},
        "description": "d",
        "state": "running",
    }
    beside = {"s1": {"memory": str(tmp_path / "s1.memory")}} if memory else {}
    read_journal(domain).note(taking=taking, beside=beside, own={overlay})
    plan = host.plan("s1", kind="external", memory=memory)
    assert len(plan.steps) == 2 and plan.steps[0].title.startswith("finish or undo")
    for step in plan.steps:
        step.run()
    (found,) = listing.snapshots(domain)
    assert (found.name, found.memory, found.description) == ("s1", memory, "d")
    assert found.memory_file == beside.get("s1", {}).get("memory", "")
    assert found.layers == {"vda": str(host.disk)} and found.overlays == {"vda": overlay}
    assert [disk.path for disk in domain.disks(inactive=True) if disk.target == "vda"] == [overlay]
    assert not read_journal(domain).open
    tools.close()
