# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, EngineError, InUse
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_overlay import Backing, write_empty_qcow2
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    base_files,
    convert_job,
    convert_place,
    pacing,
    usage_domains,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import QemuImg
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of

pytestmark = pytest.mark.usefixtures("state_dir")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    (path / "src").write_bytes(b"\1" * 65536)
    return path


def params(folder: Path, **given: Any) -> dict[str, Any]:
    return read_request(params_of(folder / "src", folder / "dest", **given), Tools()).job("1").params


def convert(wanted: dict[str, Any]) -> JobState:
    state, lock = JobState("convert-x", "convert", "r"), os.open("/dev/null", os.O_RDONLY)
    try:
        convert_job.convert(wanted, Progress(state, Clock()), lock)
    finally:
        os.close(lock)
    return state


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_finished_image_has_record_and_mode(folder: Path) -> None:
    state = convert(params(folder, mode="0604", options={"compress": True}))
    dest = folder / "dest"
    assert stat.S_IMODE(dest.stat().st_mode) == 0o604
    found = read_record(str(dest))
    assert found is not None
    assert (found.operation, found.options, found.virtual_size) == (
        "convert",
        {"compress": True, "compression_type": "zstd"},
        65536,
    )
    assert names(folder) == ["dest", "src"]
    assert state.phase == "publish"


def test_a_wrong_checksum_is_found_before_the_destination_is_touched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block device would be marked as unfinished."""
    monkeypatch.setattr(convert_job, "place_of", lambda params: pytest.fail("the destination was touched"))
    with pytest.raises(Conflict, match="^checksum: .*/src has the sha256 digest"):
        convert(params(folder, checksum="sha256:" + "0" * 64))
    assert names(folder) == ["src"]


def test_bandwidth_holds_while_the_checksum_is_computed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is a hole doesn't come from the disk."""
    slept: list[float] = []
    monkeypatch.setattr(convert_job, "place_of", lambda params: pytest.fail("enough"))
    monkeypatch.setattr(pacing.time, "sleep", slept.append)
    with (folder / "src").open("r+b") as source:
        source.truncate(16 << 20)
        wanted = "sha256:" + hashlib.sha256(source.read()).hexdigest()
    with pytest.raises(pytest.fail.Exception, match="enough"):
        convert(params(folder, checksum=wanted, bandwidth="128K"))
    assert len(slept) == 16 and 4 < max(slept) <= 8


def test_what_an_overlay_is_to_rest_on_is_not_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_files, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(base_files, "_ALONE_SECONDS", 0.0)
    wanted = params(folder, method="overlay", src_format="raw")
    with base_files.alone(str(folder / "src"), Clock()), pytest.raises(InUse, match="being replaced"):
        convert(wanted)
    convert(wanted)
    with base_files.alone(str(folder / "src"), Clock()):
        assert names(folder) == ["dest", "src"]


def test_what_an_unfinished_one_left_is_thrown_away(folder: Path) -> None:
    Path(partial_path(str(folder / "dest"))).write_bytes(b"half")
    convert(params(folder))
    assert names(folder) == ["dest", "src"]


def test_a_planted_link_is_removed_and_not_followed(folder: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    os.symlink(victim, partial_path(str(folder / "dest")))
    convert(params(folder))
    assert victim.read_bytes() == b"precious"


def test_another_source_than_was_looked_at(folder: Path) -> None:
    wanted = params(folder)
    os.utime(folder / "src", ns=(1, 1))
    with pytest.raises(Conflict, match=r"^src: .* was written to while it was being converted"):
        convert(wanted)
    assert names(folder) == ["src"]


def test_another_destination_than_was_looked_at(folder: Path) -> None:
    wanted = params(folder)
    (folder / "dest").write_bytes(b"precious")
    with pytest.raises(Conflict, match=r"^dest: .* was changed by somebody else"):
        convert(wanted)
    assert (folder / "dest").read_bytes() == b"precious"
    assert names(folder) == ["dest", "src"]


def test_an_image_that_differs_is_thrown_away(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QemuImg, "compare", lambda *images: False)
    with pytest.raises(EngineError, match="was thrown away: its content differs"):
        convert(params(folder, verify="deep"))
    assert names(folder) == ["src"]


def test_a_destination_that_came_into_use_meanwhile_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    dest, below = folder / "dest", Backing(str(folder / "dest"), "raw")
    dest.write_bytes(b"base".ljust(512))
    wanted = params(folder, force=True)

    def make_disk(moment: str) -> None:
        if moment == "convert:before-publish":
            with (folder / "overlay").open("wb") as stream:
                write_empty_qcow2(stream, size=512, backing=below)

    with monkeypatch.context() as patched, pytest.raises(InUse, match="the overlay .* reads it as its backing file"):
        patched.setattr(convert_place, "fault_point", make_disk)
        convert(wanted)
    assert dest.read_bytes() == b"base".ljust(512) and names(folder) == ["dest", "overlay", "src"]
    (folder / "overlay").unlink()
    convert(wanted)
    assert read_record(str(dest)) is not None
