# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict
from ansible_collections.imageops.fleet.plugins.module_utils._operations import convert_verdict as verdicts
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_request import (
    ConvertRequest,
    read_request,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.inspection import Inspected
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import QemuImg
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, read_record, write_record
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of

KEEP, REFRESH, CONVERT = verdicts.KEEP, verdicts.REFRESH, verdicts.CONVERT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source and a conversion of it with its record."""
    (tmp_path / "src").write_bytes(b"\1" * 65536)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", tmp_path / "src", tmp_path / "dest"], check=True)
    record(tmp_path)
    return tmp_path


def request(folder: Path, **given: Any) -> ConvertRequest:
    return read_request(params_of(folder / "src", folder / "dest", **given), Tools())


def record(folder: Path, operation: str = "convert") -> None:
    asked = request(folder)
    write_record(str(folder / "dest"), Record(operation, "qcow2", 65536, source=asked.made_from))


def touched(path: Path) -> None:
    os.utime(path, ns=(1, 1))


def judged(folder: Path, **given: Any) -> str:
    try:
        return verdicts.judge(request(folder, **given), QemuImg(Commands()))
    except Conflict as error:
        return str(error).partition(" and ")[2].partition(", so")[0]


WRITTEN = "was written to since it was made"


@pytest.mark.parametrize(
    ("what", "quick", "deep", "force"),
    [
        ("nothing", KEEP, KEEP, KEEP),
        ("touch src", REFRESH, REFRESH, CONVERT),
        ("write src", CONVERT, CONVERT, CONVERT),
        ("touch dest", KEEP, KEEP, CONVERT),
        ("write dest", KEEP, WRITTEN, CONVERT),
        ("touch both", WRITTEN, REFRESH, CONVERT),
        ("other maker", "was made by another operation (create)", REFRESH, CONVERT),
        ("no record", "was not made by imageops.fleet (it has no record)", REFRESH, CONVERT),
    ],
)
def test_verdicts(folder: Path, what: str, quick: str, deep: str, force: str) -> None:
    src, dest = folder / "src", folder / "dest"
    if what in ("touch src", "touch both"):
        touched(src)
    if what in ("touch dest", "touch both"):
        touched(dest)
    if what == "write src":
        src.write_bytes(b"\2" * 65536)
    if what == "write dest":
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 0 512", dest], check=True, capture_output=True)
    if what == "other maker":
        record(folder, "create")
    if what == "no record":
        os.removexattr(dest, "user.imageops.record")
    assert judged(folder) == quick
    assert judged(folder, verify="deep") == deep
    assert judged(folder, force=True) == force


def test_other_options_are_not_compared(folder: Path) -> None:
    touched(folder / "src")
    assert judged(folder, options={"compress": True}) == CONVERT
    assert judged(folder, format="vmdk") == CONVERT


def test_defaults_that_are_written_out_are_the_same_options(folder: Path) -> None:
    assert judged(folder, options={"cluster_size": "64K", "lazy_refcounts": False}) == KEEP


def test_a_block_device_is_always_compared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inspected, "telling", False)
    assert judged(folder) == REFRESH
    (folder / "src").write_bytes(b"\2" * 65536)
    assert judged(folder) == CONVERT


def test_a_refreshed_record_names_what_was_compared(folder: Path) -> None:
    touched(folder / "src")
    asked = request(folder)
    verdicts.judge(asked, QemuImg(Commands()))
    (folder / "src").write_bytes(b"\2" * 65536)
    verdicts.refresh_record(asked, "9")
    found = read_record(str(folder / "dest"))
    assert found is not None
    assert (found.source, found.tool, found.virtual_size) == (asked.made_from, "imageops.fleet 9", 65536)
    assert judged(folder) == CONVERT
    assert replace(found, made={}) == Record("convert", "qcow2", 65536, source=asked.made_from, tool="imageops.fleet 9")


def test_a_checksum_is_compared_before_a_record_tells_it(folder: Path) -> None:
    right = "sha256:" + hashlib.sha256((folder / "src").read_bytes()).hexdigest()
    with pytest.raises(Conflict, match="^checksum: .*/src has the sha256 digest"):
        verdicts.judge(request(folder, checksum="sha256:" + "0" * 64), QemuImg(Commands()))
    asked = request(folder, checksum=right)
    assert verdicts.judge(asked, QemuImg(Commands())) == REFRESH
    verdicts.refresh_record(asked, "9")
    assert judged(folder, checksum=right) == KEEP
    assert judged(folder) == KEEP


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("before", [None, "sha256"])
def test_a_checksum_that_comes_to_the_task_asks_for_no_new_image(
    folder: Path, before: str | None, written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a VM wrote to the image since says nothing about the source."""
    content = (folder / "src").read_bytes()
    if before:
        verdicts.refresh_record(request(folder, checksum=f"sha256:{hashlib.sha256(content).hexdigest()}"), "9")
    if written:
        subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", "write 0 512", folder / "dest"], check=True, capture_output=True
        )
    monkeypatch.setattr(verdicts, "_equal", lambda request, engine: pytest.fail("the images were compared"))
    right = "sha512:" + hashlib.sha512(content).hexdigest()
    assert judged(folder, checksum=right) == (KEEP if written else REFRESH)
    with pytest.raises(Conflict, match="^checksum: .*/src has the sha512 digest"):
        verdicts.judge(request(folder, checksum="sha512:" + "0" * 128), QemuImg(Commands()))
