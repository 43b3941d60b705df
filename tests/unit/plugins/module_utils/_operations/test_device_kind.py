# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._operations import device_kind
from ansible_collections.imageops.fleet.plugins.module_utils._operations.device_kind import require_plain


@pytest.fixture
def sysfs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The kernel's folder of block devices: a disk with a partition, a plain and a thin volume of LVM, and the thin pool."""
    below = {"sda": [], "sda1": [], "dm-0": ["sda1"], "dm-1": ["sda1"], "dm-2": ["dm-1"], "dm-3": ["dm-2"]}
    for name, slaves in below.items():
        folder = tmp_path / name / "slaves"
        folder.mkdir(parents=True)
        for slave in slaves:
            (folder / slave).symlink_to(tmp_path / slave)
    uuids = {"dm-0": "LVM-a", "dm-1": "LVM-b-tdata", "dm-2": "LVM-b-tpool", "dm-3": "LVM-c"}
    for name, uuid in uuids.items():
        (tmp_path / name / "dm").mkdir()
        (tmp_path / name / "dm/uuid").write_text(f"{uuid}\n")
    monkeypatch.setattr(device_kind, "SYSFS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dm-3", "a volume of an LVM thin pool"),
        ("zd16", "a ZFS volume"),
        ("zd16p1", "a ZFS volume"),
        ("rbd0", "a Ceph RBD image"),
        ("rbd0p2", "a Ceph RBD image"),
    ],
)
def test_what_is_refused(sysfs: Path, tmp_path: Path, name: str, kind: str) -> None:
    named = tmp_path / "volume"
    named.symlink_to(f"/dev/{name}")
    for path in (f"/dev/{name}", str(named)):
        with pytest.raises(Unsupported, match=f"^src: {path} is {kind}, which this version doesn't work on; copy it.$"):
            require_plain(path, option="src", instead="copy it")


@pytest.mark.parametrize("name", ["sda", "sda1", "dm-0", "loop0"])
def test_what_is_plain(sysfs: Path, name: str) -> None:
    require_plain(f"/dev/{name}", option="src", instead="copy it")
