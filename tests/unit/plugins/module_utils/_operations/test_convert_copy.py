# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import convert_copy, file_copy
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_place import place_of
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_work import Work
from ansible_collections.imageops.fleet.plugins.module_utils._operations.inspection import inspect

PARAMS: dict[str, Any] = {
    "format": "qcow2", "options": {}, "compress": False, "encryption": None, "bandwidth": None, "sparse_size": None,
}  # fmt: skip


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "i.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1M"], check=True)
    return path


@pytest.mark.parametrize(
    ("given", "suits"),
    [
        ({}, True),
        ({"options": {"cluster_size": 65536}}, True),
        ({"options": {"cluster_size": 131072}}, False),
        ({"options": {"preallocation": "metadata"}}, False),
        ({"format": "raw"}, False),
        ({"compress": True}, False),
        ({"encryption": {}}, False),
        ({"bandwidth": 1}, False),
        ({"sparse_size": 0}, False),
    ],
)
def test_only_what_is_asked_for_is_copied(image: Path, given: dict[str, Any], suits: bool) -> None:
    assert convert_copy.suits({**PARAMS, **given}, inspect(str(image), declared="qcow2")) is suits


@pytest.mark.parametrize("act", ["snapshot -c s", "bitmap --add", "compressed", "odd"])
def test_what_a_conversion_would_drop_is_not_copied(image: Path, act: str) -> None:
    params, format = dict(PARAMS), "qcow2"
    if act == "compressed":
        source = image.parent / "raw"
        source.write_bytes(b"a" * (1 << 20))
        subprocess.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", source, image], check=True)
    elif act == "odd":
        image.write_bytes(b"a" * 700)
        params["format"] = format = "raw"
    else:
        verb, *rest = act.split()
        more = ["b"] if verb == "bitmap" else []
        subprocess.run(["qemu-img", verb, *rest, image, *more], check=True)
    assert not convert_copy.suits(params, inspect(str(image), declared=format))


def test_a_copy_keeps_holes(tmp_path: Path, state_dir: Path) -> None:
    source, dest = tmp_path / "s", tmp_path / "d"
    with source.open("wb") as stream:
        for place in (1 << 20, 5 << 20):
            stream.seek(place)
            stream.write(os.urandom(100_000))
        stream.truncate(8 << 20)
    place = place_of({"dest": str(dest), "options": {}})
    progress = Progress(JobState("convert-x", "convert", "r"), Clock())
    place.prepare(progress)
    found = inspect(str(source), declared="raw")
    with source.open("rb") as stream:
        work = Work({**PARAMS, "format": "raw"}, found, place, progress, 0)
        convert_copy.copy_extents(place.path, stream.fileno(), work)
    assert Path(place.path).read_bytes() == source.read_bytes()
    assert os.stat(place.path).st_blocks <= source.stat().st_blocks + 16


def test_no_reflink_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(95, "Operation not supported")

    (tmp_path / "t").touch()
    monkeypatch.setattr(file_copy.fcntl, "ioctl", refuse)
    assert convert_copy.shares_blocks(str(tmp_path / "t"), 0) is False


def test_local_file_systems_do_not_copy_by_themselves(tmp_path: Path) -> None:
    assert not convert_copy.copies_by_itself(str(tmp_path))
