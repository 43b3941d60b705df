# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._faults import FAULT_VARIABLE
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import convert_job, convert_writer, own_writers
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of

from .._formats.images import qemu_img
from .._formats.written import MIB, NOISE, TEXT, raw

pytestmark = pytest.mark.usefixtures("state_dir")
STREAM = {"format": "vmdk", "options": {"subformat": "streamOptimized"}}
ZSTD = {"format": "qcow2", "options": {"compress": True}}
ZLIB = {"format": "qcow2", "options": {"compression_type": "zlib", "compress": True}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    raw(path / "src", 8 * MIB, (0, TEXT), (5 * MIB, NOISE[:MIB]))
    return path


def request(folder: Path, **given: Any) -> dict[str, Any]:
    return read_request(params_of(folder / "src", folder / "dest", **given), Tools()).job("1").params


def convert(wanted: dict[str, Any]) -> tuple[dict[str, Any], JobState]:
    state, lock = JobState("convert-x", "convert", "r"), os.open("/dev/null", os.O_RDONLY)
    try:
        return convert_job.convert(wanted, Progress(state, Clock()), lock), state
    finally:
        os.close(lock)


@pytest.mark.parametrize("given", [STREAM, ZLIB, ZSTD, {**ZLIB, "options": {"compress": True, "compat": "0.10"}}])
@pytest.mark.parametrize("source", ["raw", "qcow2", "vmdk"])
def test_the_writer_is_used_by_itself(folder: Path, given: dict[str, Any], source: str) -> None:
    if source != "raw":
        (folder / "src").rename(folder / "raw")
        qemu_img("convert", "-f", "raw", "-O", source, str(folder / "raw"), str(folder / "src"))
    result, _state = convert(request(folder, verify="deep", **given))
    assert result["method"] == "writer"
    assert result["encoder"] in {"zlib", "ISA-L", "libdeflate", "libzstd"}
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        {"src", "dest", *(["raw"] if source != "raw" else [])}
    )


@pytest.mark.parametrize("source", ["raw", "qcow2"])
def test_a_vmdk_is_written_without_compression(folder: Path, source: str) -> None:
    if source != "raw":
        (folder / "src").rename(folder / "raw")
        qemu_img("convert", "-f", "raw", "-O", source, str(folder / "raw"), str(folder / "src"))
    result, _state = convert(request(folder, format="vmdk", verify="deep"))
    assert result["method"] == "writer"
    assert "encoder" not in result
    assert b'SPARSE "dest"' in (folder / "dest").read_bytes()[:4096]


@pytest.mark.parametrize("version", ["A" * 10300, "\udcff"])
def test_a_hardware_version_that_is_no_number_is_left_to_qemu(version: str) -> None:
    """disk_compact takes it from the image."""
    for subformat in ("monolithicSparse", "streamOptimized"):
        options = {"subformat": subformat, "hwversion": version}
        assert own_writers.writer_for("vmdk", options, compress=False, path="/a") is None


def test_what_would_end_the_name_in_a_descriptor() -> None:
    found = own_writers.writer_for("vmdk", {}, compress=False, path='/a/b"c\nd\udcff.vmdk')
    assert found is not None
    assert found.write.keywords["name"] == "b_c_d_.vmdk"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "given",
    [
        {"format": "qcow2"},
        {"format": "vmdk", "options": {"zeroed_grain": True}},
        {"format": "vmdk", "options": {"adapter_type": "legacyESX"}},
        {"format": "vmdk", "options": {"subformat": "twoGbMaxExtentSparse"}},
        {"format": "qcow2", "options": {"compress": True, "extended_l2": True}},
        {**STREAM, "options": {"subformat": "streamOptimized", "adapter_type": "legacyESX"}},
        {**ZLIB, "options": {"compress": True, "compression_type": "zlib", "lazy_refcounts": True}},
        {**ZLIB, "method": "qemu-img"},
    ],
)
def test_the_rest_is_left_to_qemu(folder: Path, given: dict[str, Any]) -> None:
    result, _state = convert(request(folder, **given))
    assert result["method"] != "writer"
    assert "encoder" not in result


def test_other_formats_need_qemu_nbd(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "src").rename(folder / "raw")
    qemu_img("convert", "-f", "raw", "-O", "qcow2", str(folder / "raw"), str(folder / "src"))
    monkeypatch.setattr(convert_writer, "can_serve", lambda: False)
    assert convert(request(folder, **STREAM))[0]["method"] == "qemu-img"


def test_zstd_needs_its_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(own_writers, "zstd_encoder", lambda: None)
    assert convert(request(folder, **ZSTD))[0]["method"] == "qemu-img"
    told = qemu_img("info", "-f", "qcow2", str(folder / "dest"))
    assert "compression type: zstd" in told


def test_the_target_has_what_was_asked_for(folder: Path) -> None:
    convert(request(folder, format="qcow2", options={**ZLIB["options"], "cluster_size": "4K", "compat": "0.10"}))
    told = qemu_img("info", "-f", "qcow2", str(folder / "dest"))
    assert "cluster_size: 4096" in told
    assert "compat: 0.10" in told


def test_bandwidth_holds_the_work_back(folder: Path) -> None:
    began = time.monotonic()
    convert(request(folder, bandwidth="8M", **ZLIB))
    assert time.monotonic() - began > 0.3


def test_a_full_disk_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FAULT_VARIABLE, "convert:while-writing:full")
    with pytest.raises(OSError, match="No space"):
        convert(request(folder, **ZLIB))
    assert [path.name for path in folder.iterdir()] == ["src"]
