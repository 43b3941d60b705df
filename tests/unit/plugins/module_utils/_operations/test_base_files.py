# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InUse
from ansible_collections.imageops.fleet.plugins.module_utils._files import fingerprint
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_overlay import Backing, write_empty_qcow2
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import base_files, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.base_files import Bases, alone
from ansible_collections.imageops.fleet.plugins.module_utils._operations.replacing import replacing


@pytest.fixture
def base(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(base_files, "_SECONDS", 0.0)
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
