# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists whose items would be in each other's way: whole modules, with real images."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains
from ansible_collections.imageops.fleet.tests.unit import run_module

CHECK = pytest.mark.parametrize("check", [True, False])


@pytest.fixture
def image(state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())
    path = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "4M"], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", str(path)], check=True, capture_output=True)
    return path


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def refused(module: str, folder: Path, *, check: bool, **params: Any) -> str:
    before = content(folder)
    told = run_module.run_module(module, params, check=check)
    assert told["failed"] and not told["changed"]
    assert content(folder) == before
    return str(told["msg"])


@CHECK
def test_compacting_one_image_twice(image: Path, check: bool) -> None:
    disks = [{"path": str(image)}, {"path": str(image), "discard": "never"}]
    said = refused("disk_compact", image.parent, check=check, disks=disks)
    assert said.startswith(f"path: {image} belongs to two items of this task")


@CHECK
def test_replacing_what_an_earlier_item_reads(image: Path, tmp_path: Path, check: bool) -> None:
    (tmp_path / "new.raw").write_bytes(b"x" * (1 << 20))
    disks = [
        {"src": str(image), "dest": str(tmp_path / "copy.vmdk"), "format": "vmdk"},
        {"src": str(tmp_path / "new.raw"), "src_format": "raw", "dest": str(image)},
    ]
    said = refused("disk_convert", tmp_path, check=check, disks=disks, force=True)
    assert said.startswith(
        f"dest: {image} is read by an earlier item of this task, for {tmp_path}/copy.vmdk; replace it"
    )


@CHECK
def test_two_sources_for_a_file_that_is_what_the_first_wants(image: Path, tmp_path: Path, check: bool) -> None:
    (tmp_path / "new.raw").write_bytes(b"x" * (1 << 20))
    first = {"src": str(image), "dest": str(tmp_path / "copy.qcow2")}
    assert run_module.run_module("disk_convert", first)["changed"]
    other = {**first, "src": str(tmp_path / "new.raw"), "src_format": "raw"}
    said = refused("disk_convert", tmp_path, check=check, disks=[first, other], force=True)
    assert "is given for two items of this task" in said
