# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_layers import (
    Layers,
    files_of,
    real_files_of,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    create,
    fetch,
    patch,
    qemu_img,
    sign_vhd,
)
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.test_vhdx import with_parent


@pytest.fixture(autouse=True)
def _no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


def users(path: Path) -> list[tuple[str, str]]:
    return [(user.kind, Path(user.name).name) for user in usage.users_of(str(path), Tools())]


def test_a_parent_of_a_differencing_vhd_is_in_use(tmp_path: Path) -> None:
    parent = create(tmp_path / "Parent.vhd", "vhd", "4M")
    child = create(tmp_path / "child.vhd", "vhd", "4M")
    for start in (0, -512):
        patch(child, start + 60, ">I", 4)
    name = "C:\\vm\\Parent.vhd".encode("utf-16-be")
    patch(child, 512 + 64, f"{len(name)}s", name)
    sign_vhd(child)
    assert Layers().below(str(child)) == str(parent)
    assert users(parent) == [("overlay", "child.vhd")]


def test_a_parent_of_a_differencing_vhdx_is_in_use(tmp_path: Path) -> None:
    parent = create(tmp_path / "parent.vhdx", "vhdx", "4M")
    with_parent(create(tmp_path / "child.vhdx", "vhdx", "4M"), {"relative_path": ".\\parent.vhdx"})
    assert users(parent) == [("overlay", "child.vhdx")]


@pytest.mark.parametrize("where", ["", "Snapshots"])
def test_a_parent_of_a_differencing_vdi_is_in_use(tmp_path: Path, where: str) -> None:
    parent = create(tmp_path / "parent.vdi", "vdi", "4M")
    (tmp_path / "Snapshots").mkdir()
    child = create(tmp_path / where / f"{uuid.UUID(int=5)}.vdi", "vdi", "4M")
    patch(child, 0x4C, "<I", 4)
    patch(child, 0x1B8, "16s", *fetch(parent, 0x188, "16s"))
    assert Layers().below(str(child)) == str(parent)
    assert users(parent) == [("overlay", child.name)]


def test_extents_of_a_vmdk_are_in_use(tmp_path: Path) -> None:
    path = create(tmp_path / "d.vmdk", "vmdk", "4M", "subformat=twoGbMaxExtentSparse")
    assert users(tmp_path / "d-s001.vmdk") == [("image", "d.vmdk")]
    assert users(path) == []
    assert list(Layers().chain(str(path))) == [str(path), str(tmp_path / "d-s001.vmdk")]


def test_the_parent_of_a_vmdk_delta_link_is_in_use(tmp_path: Path) -> None:
    base = create(tmp_path / "base.vmdk", "vmdk", "4M")
    options = ["-o", "subformat=twoGbMaxExtentSparse", "-b", base.name, "-F", "vmdk"]
    qemu_img("create", "-q", "-f", "vmdk", *options, str(tmp_path / "delta.vmdk"))
    assert users(base) == [("overlay", "delta.vmdk")]


def test_a_data_file_of_a_qcow2_is_in_use(tmp_path: Path) -> None:
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file=d.raw", "d.qcow2", "1M"]
    subprocess.run(argv, cwd=tmp_path, check=True)
    assert users(tmp_path / "d.raw") == [("image", "d.qcow2")]


def test_ordinary_files_need_nothing(tmp_path: Path) -> None:
    for name, format in (("a.vhdx", "vhdx"), ("a.vdi", "vdi"), ("a.qcow2", "qcow2"), ("a.vhd", "vhd")):
        assert Layers().needs(str(create(tmp_path / name, format, "4M"))).all == ()
    assert Layers().needs(str(tmp_path / "nothing")).all == ()


@pytest.mark.parametrize("target", ["link.qcow2", "base.qcow2/", "gone.qcow2"])
def test_a_link_that_leads_nowhere_hides_no_other_file(tmp_path: Path, target: str) -> None:
    base, child = create(tmp_path / "base.qcow2", "qcow2", "1M"), tmp_path / "child.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(child), "1M")
    (tmp_path / "link.qcow2").symlink_to(target)
    assert files_of(str(tmp_path)) == real_files_of(str(tmp_path)) == [str(base), str(child)]
    assert users(base) == [("overlay", "child.qcow2")]
