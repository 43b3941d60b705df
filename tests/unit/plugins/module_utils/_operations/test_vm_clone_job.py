# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, EngineError
from ansible_collections.imageops.fleet.plugins.module_utils._files import fingerprint
from ansible_collections.imageops.fleet.plugins.module_utils._formats.guest_content import RawContent
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_clone_job
from ansible_collections.imageops.fleet.plugins.module_utils._operations.inspection import Inspected
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_copy import CloneDisk
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_disk import inspected
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_work import disk_from, values_of
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record

SIZE = (1 << 20) + 512


class Told(Progress):
    """Keeps what it was told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.left: tuple[str, ...] = ()

    def phase(self, name: str, *, total: int = 0) -> None:
        self.phases.append(name)

    def update(self, done: int) -> None:
        pass

    def leaves(self, *paths: str) -> None:
        self.left = paths


class Site:
    """A running VM with a raw and a qcow2 disk, of which only the content is known."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.progress = folder, Told()
        self.seen = folder / "seen.raw"
        with self.seen.open("wb") as stream:
            stream.write(b"a" * 100000)
            stream.truncate(SIZE)
        self.read: list[str] = []
        monkeypatch.setattr(vm_clone_job, "pull_backup", self.pull)

    @contextlib.contextmanager
    def pull(self, source: Any, targets: list[str], **_more: Any) -> Iterator[dict[str, RawContent]]:
        self.read += targets
        with self.seen.open("rb") as stream:
            yield {target: RawContent(stream.fileno(), SIZE) for target in targets}

    def disk(self, vm: str, target: str, format: str) -> CloneDisk:
        path = str(self.folder / f"{vm}-{target}.{format}")
        return CloneDisk(vm, target, path, Inspected(f"/nowhere/{target}", format, SIZE, ()), pulled=True)

    def make(self, *disks: CloneDisk, edit: bool = False) -> dict[str, Any]:
        names = sorted({disk.vm for disk in disks})
        clones = [
            {"name": name, "edit": edit, "disks": [values_of(disk) for disk in disks if disk.vm == name]}
            for name in names
        ]
        sources = {disk.source.path: self.known(disk.source.path) for disk in disks}
        params = {
            "uri": "qemu:///system", "source": "web", "uuid": "1-2", "quiesce_timeout": 0, "bandwidth": None,
            "clones": clones, "sources": sources, "version": "1",
        }  # fmt: skip
        return vm_clone_job.make_clones(params, self.progress, os.open("/dev/null", os.O_RDONLY))

    def known(self, path: str) -> dict[str, Any] | None:
        found = fingerprint(path)
        return found.as_dict() if found else None

    def content(self, path: str, format: str) -> bytes:
        raw = self.folder / "content"
        subprocess.run(["qemu-img", "convert", "-f", format, "-O", "raw", path, str(raw)], check=True)
        return raw.read_bytes()

    @property
    def hidden(self) -> list[str]:
        return [path.name for path in self.folder.glob(".*")]


@pytest.fixture
def site(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_two_clones_are_read_once_and_are_of_one_moment(site: Site) -> None:
    disks = [site.disk(vm, *kind) for vm in ("a", "b") for kind in (("vda", "raw"), ("vdb", "qcow2"))]
    told = site.make(*disks)
    assert site.read == ["vda", "vdb"] and told["method"] == "pull" and told["clones"] == ["a", "b"]
    for disk in disks:
        assert site.content(disk.path, disk.format) == site.seen.read_bytes()
        record = read_record(disk.path)
        assert record and record.source["point"] == told["point"] and record.options["vm"] == disk.vm
    subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", disks[1].path], check=True)
    assert not site.hidden and os.path.join("run", "pull-1-2") in site.progress.left[-1]


def test_nothing_gets_its_name_when_the_guest_can_not_be_edited(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(disks: Any, name: str, *, lock: int) -> None:
        raise EngineError("no operating system")

    monkeypatch.setattr(vm_clone_job, "edit_identity", fail)
    disk = site.disk("a", "vda", "raw")
    with pytest.raises(EngineError):
        site.make(disk, edit=True)
    assert not os.path.exists(disk.path) and not site.hidden


def test_somebody_elses_file_is_left_alone(site: Site) -> None:
    disk = site.disk("a", "vda", "raw")
    Path(disk.path).write_bytes(b"precious")
    with pytest.raises(Conflict, match="was made by somebody else"):
        site.make(disk)
    assert Path(disk.path).read_bytes() == b"precious" and not site.hidden


def test_a_stopped_vms_disk_is_converted(site: Site) -> None:
    image = site.folder / "web.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, str(SIZE)], check=True)
    subprocess.run(["qemu-img", "snapshot", "-c", "then", image], check=True)
    disk = CloneDisk("a", "vda", str(site.folder / "a.qcow2"), inspected(str(image), "qcow2"))
    assert disk_from(values_of(disk)) == disk
    assert site.make(disk)["method"] == "copy" and site.content(disk.path, "qcow2") == bytes(SIZE)
    layer = CloneDisk("b", "vda", str(site.folder / "b.qcow2"), disk.source, base=disk.source)
    site.make(layer)
    record = read_record(layer.path)
    assert record and record.operation == "overlay" and record.options["backing"] == str(image)


def test_a_source_that_was_written_to_meanwhile(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    image = site.folder / "web.raw"
    image.write_bytes(bytes(4096))
    disk = CloneDisk("a", "vda", str(site.folder / "a.raw"), inspected(str(image), "raw"))
    monkeypatch.setattr(site, "known", lambda path: {"ino": 1, "size": 1, "mtime_ns": 1})
    with pytest.raises(Conflict, match="web.raw was written to meanwhile"):
        site.make(disk)
