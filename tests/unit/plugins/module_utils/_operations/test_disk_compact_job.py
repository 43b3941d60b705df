# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The moment at which a compacted image takes its name: who uses the old one by then, or is about to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InUse
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_overlay import Backing, write_empty_qcow2
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    base_files,
    disk_compact_job,
    usage_domains,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.base_files import Bases
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_compact import job_of_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_compact_request import read_request

from .._formats.images import qemu_img

MIB = 1 << 20
pytestmark = pytest.mark.usefixtures("state_dir", "no_libvirt")


@pytest.fixture
def no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with much in it that is zeros."""
    folder = tmp_path / "images"
    folder.mkdir()
    (tmp_path / "zeros").write_bytes(bytes(4 * MIB))
    qemu_img("convert", "-S", "0", "-f", "raw", "-O", "qcow2", str(tmp_path / "zeros"), str(folder / "disk"))
    return folder / "disk"


def compact(image: Path, *, search_paths: tuple[str, ...] = (), **given: Any) -> dict[str, Any]:
    options = {
        "path": str(image),
        "format": None,
        "backing": None,
        "compression": "keep",
        "discard": "never",
        "size": None,
        "grow_partition": None,
        "guest_timeout": 60,
        "bandwidth": None,
        **given,
    }
    wanted = job_of_request(read_request(options), "1", search_paths=search_paths).params
    lock = os.open("/dev/null", os.O_RDONLY)
    try:
        return disk_compact_job.compact(wanted, Progress(JobState("compact-x", "compact", "r"), Clock()), lock)
    finally:
        os.close(lock)


def an_overlay_comes(folder: Path, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody has an overlay put on the image while it is rewritten."""

    def make(moment: str) -> None:
        if moment == "compact:rewritten":
            with (folder / "overlay").open("wb") as stream:
                write_empty_qcow2(stream, size=4 * MIB, backing=Backing(str(image), "qcow2"))

    monkeypatch.setattr(disk_compact_job, "fault_point", make)


@pytest.mark.parametrize("near", [True, False])
def test_what_something_rests_on_by_now_keeps_its_content(
    image: Path, tmp_path: Path, near: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, before = image.parent if near else tmp_path, image.read_bytes()
    an_overlay_comes(folder, image, monkeypatch)
    with pytest.raises(InUse, match="overlay reads it as its backing file"):
        compact(image, size="8M", search_paths=() if near else (str(tmp_path),))
    assert image.read_bytes() == before
    assert [path.name for path in image.parent.iterdir() if path.name != "overlay"] == ["disk"]


def test_where_guests_read_the_same_an_overlay_may_come(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    an_overlay_comes(image.parent, image, monkeypatch)
    assert compact(image)["changed"]


def test_while_a_disk_is_made_from_it_it_is_not_replaced(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_files, "_ALONE_SECONDS", 0.0)
    bases, before = Bases(Clock()), image.read_bytes()
    bases.keep(str(image))
    with pytest.raises(InUse, match="disks are being made from it by another task"):
        compact(image)
    bases.close()
    assert image.read_bytes() == before
    assert compact(image)["changed"]
