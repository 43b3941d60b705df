# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from ansible_collections.imageops.fleet.plugins.module_utils import _records
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, EngineError, InUse
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import inspect_chain
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.running import write_lock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._locks import try_lock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import export_job, export_place
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_found import find
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_verdict import tells
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_export import plan_export
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._portable.ovf_names import OVF, RASD
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, read_record, write_record
from ansible_collections.imageops.fleet.tests.unit.export_params import params_of

pytestmark = pytest.mark.usefixtures("state_dir")
SIZE = (3 << 20) + 512
# Of each preset: a name, and the files of its archive or folder.
WHOLE = {
    "ova": ("web.ova", ["web.ovf", "web-disk1.vmdk", "web.mf"]),
    "vmware": ("web", ["web-disk1.vmdk", "web.mf", "web.ovf"]),
    "virtualbox": ("web.ova", ["web.ovf", "web-disk1.vmdk", "web.mf"]),
    "azure": ("web.vhd", []),
    "aws": ("web.vmdk", []),
    "gcp": ("web.tar.gz", ["disk.raw"]),
    "openstack": ("web", ["web-disk1.qcow2", "web.json"]),
    "opennebula": ("web", ["web-disk1.image", "web-disk1.qcow2", "web.vm"]),
    "kubevirt": ("web.tar", None),
    "proxmox": ("web", ["web-disk1.qcow2", "web.conf"]),
    "vagrant": ("web.box", ["metadata.json", "Vagrantfile", "box.img"]),
    "incus": ("web.tar.gz", ["metadata.yaml", "rootfs.img"]),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    with open(path / "src", "wb") as stream:
        stream.write(b"\1" * 65536 + os.urandom(70000))
        stream.seek(2 << 20)
        stream.write(b"end of it")
        stream.truncate(SIZE)
    return path


def plain(folder: Path) -> bytes:
    return (folder / "src").read_bytes()


def export(wanted: dict[str, Any]) -> dict[str, Any]:
    state, lock = JobState("export-x", "export", "r"), os.open("/dev/null", os.O_RDONLY)
    try:
        return export_job.export(wanted, Progress(state, Clock()), lock)
    finally:
        os.close(lock)


def job(folder: Path, preset: str, **given: Any) -> dict[str, Any]:
    dest = given.pop("dest", folder / WHOLE[preset][0])
    return read_request(params_of(dest, preset, folder / "src", name="web", **given), Tools()).job("1").params


def made(folder: Path, preset: str, **given: Any) -> Path:
    wanted = job(folder, preset, **given)
    assert export(wanted) == {"changed": True}
    return Path(wanted["dest"])


def names_in(path: Path) -> list[str]:
    if path.is_dir():
        return sorted(one.name for one in path.iterdir() if not one.name.startswith("."))
    with tarfile.open(path) as archive:
        return archive.getnames()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if "-record-" not in path.name)


def facts(path: Path, format: str) -> Any:
    return inspect_chain(str(path), declared=format)[0].facts


@pytest.mark.parametrize("preset", WHOLE)
def test_an_export_is_whole_has_a_record_and_leaves_nothing(folder: Path, preset: str) -> None:
    dest = made(folder, preset, mode="0604")
    if WHOLE[preset][1]:
        assert names_in(dest) == WHOLE[preset][1]
    found = find(str(dest))
    assert found.clean
    assert found.record is not None
    assert (found.record.operation, found.record.format, found.record.virtual_size) == ("export", preset, SIZE)
    assert stat.S_IMODE(os.stat(found.main).st_mode) == 0o604
    assert left(folder) == sorted(["src", dest.name])
    request = read_request(params_of(dest, preset, folder / "src", name="web"), Tools())
    assert tells(found, request)


@pytest.mark.parametrize("preset", WHOLE)
def test_the_same_content_is_no_change(folder: Path, preset: str) -> None:
    """A source whose time has changed is exported again, and what is there stays as it is, unless the time itself is told."""
    dest = made(folder, preset)
    before = os.stat(dest).st_ino
    os.utime(folder / "src", ns=(5, 1_700_000_000_000_000_001))
    wanted = job(folder, preset)
    assert export(wanted) == {"changed": preset == "incus"}
    assert (os.stat(dest).st_ino == before) == (preset != "incus")
    assert tells(find(str(dest)), read_request(params_of(dest, preset, folder / "src", name="web"), Tools()))
    assert left(folder) == sorted(["src", dest.name])


@pytest.mark.parametrize("preset", WHOLE)
def test_other_content_replaces_the_old_export(folder: Path, preset: str) -> None:
    dest = made(folder, preset)
    before = os.stat(dest).st_ino
    with open(folder / "src", "r+b") as stream:
        stream.write(b"other")
    assert export(job(folder, preset)) == {"changed": True}
    assert os.stat(dest).st_ino != before
    assert left(folder) == sorted(["src", dest.name])
    assert find(str(dest)).clean


@pytest.mark.parametrize("preset", WHOLE)
def test_a_source_that_changes_meanwhile_is_found(folder: Path, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = job(folder, preset)

    def touch(name: str) -> None:
        if name == "export:disk-written" or (preset == "gcp" and name == "export:while-packing"):
            os.utime(folder / "src", ns=(1, 1))

    for module in (export_job.export_ovf, export_job.export_archives, export_job.export_disks):
        monkeypatch.setattr(module, "fault_point", touch)
    with pytest.raises(Conflict, match="was written to while it was exported"):
        export(wanted)
    assert left(folder) == ["src"]


def test_an_ova_has_descriptor_disk_and_manifest(folder: Path) -> None:
    dest = made(folder, "ova")
    with tarfile.open(dest) as archive:
        members = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
        assert all(member.isreg() and member.mode == 0o644 for member in archive.getmembers())
    root = ElementTree.fromstring(members["web.ovf"])
    file = root.find(f"{{{OVF}}}References/{{{OVF}}}File")
    disk = root.find(f"{{{OVF}}}DiskSection/{{{OVF}}}Disk")
    assert file is not None
    assert disk is not None
    assert file.get(f"{{{OVF}}}size") == str(len(members["web-disk1.vmdk"]))
    assert disk.get(f"{{{OVF}}}capacity") == str(SIZE)
    assert disk.get(f"{{{OVF}}}populatedSize") == str(65536 * 4)
    assert members["web.mf"].decode().splitlines() == [
        f"SHA256({name})= {hashlib.sha256(members[name]).hexdigest()}" for name in ("web.ovf", "web-disk1.vmdk")
    ]
    vmdk = folder / "out.vmdk"
    vmdk.write_bytes(members["web-disk1.vmdk"])
    assert (facts(vmdk, "vmdk").variant, facts(vmdk, "vmdk").virtual_size) == ("streamOptimized", SIZE)
    assert root.find(f".//{{{RASD}}}HostResource").text == "ovf:/disk/vmdisk1"  # type: ignore[union-attr]


def test_two_disks_have_two_files(folder: Path) -> None:
    (folder / "other").write_bytes(b"x" * 70000)
    given = params_of(folder / "two.ova", "ova", folder / "src", folder / "other", name="two")
    export(read_request(given, Tools()).job("1").params)
    assert names_in(folder / "two.ova") == ["two.ovf", "two-disk1.vmdk", "two-disk2.vmdk", "two.mf"]


def test_azure_gets_a_fixed_vhd_of_whole_mebibytes(folder: Path) -> None:
    dest = made(folder, "azure")
    found = facts(dest, "vhd")
    assert (found.variant, found.virtual_size, dest.stat().st_size) == ("fixed", 4 << 20, (4 << 20) + 512)
    assert dest.read_bytes()[:SIZE] == plain(folder)


def test_aws_takes_raw_by_the_name(folder: Path) -> None:
    dest = made(folder, "aws", dest=folder / "web.raw")
    assert dest.read_bytes() == plain(folder)


def test_gcp_gets_a_sparse_tar_of_a_whole_gibibyte(folder: Path) -> None:
    dest = made(folder, "gcp")
    with gzip.open(dest) as stream:
        head = stream.read(512)
    assert head[257:265] == b"ustar  \0"
    assert head[156:157] == b"S"
    assert dest.stat().st_size < 200000
    with tarfile.open(dest) as archive:
        member = archive.getmember("disk.raw")
        assert member.size == 1 << 30
        content = archive.extractfile(member)
        assert content is not None
        assert content.read(SIZE) == plain(folder)
        content.seek((1 << 30) - 10)
        assert content.read() == bytes(10)


def test_openstack_gets_properties(folder: Path) -> None:
    dest = made(folder, "openstack", machine={"firmware": "uefi", "bus": "scsi", "memory": "2GiB", "networks": ["lan"]})
    told = json.loads((dest / "web.json").read_text())
    assert told["file"] == "web-disk1.qcow2"
    assert (told["disk_format"], told["min_ram"], told["min_disk"]) == ("qcow2", 2048, 1)
    assert told["properties"]["hw_firmware_type"] == "uefi"
    assert told["properties"]["hw_scsi_model"] == "virtio-scsi"
    assert facts(dest / "web-disk1.qcow2", "qcow2").virtual_size == SIZE


def test_a_box_tells_of_its_disk(folder: Path) -> None:
    with tarfile.open(made(folder, "vagrant")) as archive:
        told = json.load(archive.extractfile("metadata.json"))  # type: ignore[arg-type]
        (folder / "box").write_bytes(archive.extractfile("box.img").read())  # type: ignore[union-attr]
    assert told == {"provider": "libvirt", "format": "qcow2", "virtual_size": 1, "architecture": "amd64"}
    assert facts(folder / "box", "qcow2").virtual_size == SIZE


def test_an_incus_image_tells_of_its_disk(folder: Path) -> None:
    os.utime(folder / "src", ns=(5, 1_700_000_000_000_000_000))
    with tarfile.open(made(folder, "incus", machine={"os": "debian12"})) as archive:
        told = yaml.safe_load(archive.extractfile("metadata.yaml"))  # type: ignore[arg-type]
    assert told == {
        "architecture": "x86_64",
        "creation_date": 1700000000,
        "properties": {"name": "web", "description": "web", "os": "debian", "release": "12"},
    }


def test_a_container_disk_is_an_oci_archive(folder: Path) -> None:
    with tarfile.open(made(folder, "kubevirt")) as archive:
        blobs = {name: archive.extractfile(name).read() for name in archive.getnames()}  # type: ignore[union-attr]
    assert all(name.endswith(hashlib.sha256(data).hexdigest()) for name, data in blobs.items() if "blobs" in name)
    told = json.loads(blobs["index.json"])["manifests"][0]
    manifest = json.loads(blobs["blobs/sha256/" + told["digest"][7:]])
    layer = blobs["blobs/sha256/" + manifest["layers"][0]["digest"][7:]]
    with tarfile.open(fileobj=io.BytesIO(layer)) as archive:
        assert [(one.name, one.uid) for one in archive] == [("disk", 107), ("disk/web.qcow2", 107)]
        (folder / "disk").write_bytes(archive.extractfile("disk/web.qcow2").read())  # type: ignore[union-attr]
    assert facts(folder / "disk", "qcow2").virtual_size == SIZE


@pytest.mark.parametrize("preset", ["ova", "openstack"])
def test_an_export_that_somebody_changed_meanwhile_stays(folder: Path, preset: str) -> None:
    dest = made(folder, preset)
    (folder / "src").write_bytes(b"y" * 70000)
    wanted = job(folder, preset)
    file = next(dest.glob("*.json")) if dest.is_dir() else dest
    file.write_bytes(b"somebody's")
    with pytest.raises(Conflict, match="was changed by somebody else"):
        export(wanted)
    assert file.read_bytes() == b"somebody's"
    assert left(folder) == sorted(["src", dest.name])


@pytest.mark.parametrize("preset", ["ova", "vmware", "gcp", "vagrant", "kubevirt"])
@pytest.mark.parametrize("error", [EngineError("no"), InUse("no"), OSError(28, "full")])
def test_a_failure_leaves_what_was_there(
    folder: Path, preset: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = made(folder, preset)
    before = os.stat(dest).st_ino
    (folder / "src").write_bytes(b"y" * 70000)
    wanted = job(folder, preset)

    def fail(name: str) -> None:
        if name == "export:before-publish":
            raise error

    monkeypatch.setattr(export_place, "fault_point", fail)
    with pytest.raises(type(error)):
        export(wanted)
    assert os.stat(dest).st_ino == before
    assert left(folder) == sorted(["src", dest.name])
    assert find(str(dest)).clean


def test_a_record_names_the_files_beside(folder: Path) -> None:
    dest = made(folder, "vmware")
    record = read_record(str(dest / "web.ovf"))
    assert record is not None
    assert sorted(one["name"] for one in record.files) == ["web-disk1.vmdk", "web.mf"]
    (dest / "more").write_bytes(b"")
    assert find(str(dest)).record is None


@pytest.mark.parametrize("preset", ["ova", "proxmox"])
def test_the_same_content_with_another_mode_is_a_change(folder: Path, preset: str) -> None:
    dest = made(folder, preset)
    os.utime(folder / "src", ns=(5, 5))
    assert export(job(folder, preset, mode="0604")) == {"changed": True}
    assert stat.S_IMODE(os.stat(find(str(dest)).main).st_mode) == 0o604


@pytest.mark.parametrize("preset", ["ova", "proxmox"])
def test_what_a_killed_run_left(folder: Path, preset: str) -> None:
    """Another kind of work has left a folder under the hidden name of a file, or the other way round."""
    left_there = Path(partial_path(str(folder / WHOLE[preset][0])))
    left_there.mkdir() if preset == "ova" else left_there.write_bytes(b"half")
    made(folder, preset)
    assert left(folder) == sorted(["src", WHOLE[preset][0]])


@pytest.mark.parametrize("preset", ["vagrant", "proxmox"])
@pytest.mark.parametrize("again", [False, True])
def test_nothing_of_a_killed_run_stays_beside_what_is_right_already(folder: Path, preset: str, again: bool) -> None:
    """The killed run was to replace it with something else, or had just replaced a folder; the next one wants what is there."""
    dest = made(folder, preset)
    hidden = Path(partial_path(str(dest)))
    hidden.mkdir() if preset == "proxmox" else hidden.write_bytes(b"half")
    for suffix in ("-disk0", "-disk1", "-record-5.json"):
        Path(partial_path(str(dest), suffix=suffix)).write_bytes(b"half")
    others = [f".{dest.name}.imageops-partial-download", f".{dest.name}2.imageops-partial"]
    for name in others:
        (folder / name).write_bytes(b"somebody's")
    if again:
        os.utime(folder / "src", ns=(5, 5))
        export(job(folder, preset))
    else:
        plan = plan_export(params_of(dest, preset, folder / "src", name="web"), Tools())
        assert not plan.changed
        plan.upkeep[0].run()
    assert sorted(os.listdir(folder)) == sorted([*others, "src", dest.name])
    assert plan_export(params_of(dest, preset, folder / "src", name="web"), Tools()).upkeep == ()


def test_what_a_job_writes_now_is_not_tidied(folder: Path) -> None:
    dest = made(folder, "ova")
    Path(partial_path(str(dest))).write_bytes(b"half")
    plan = plan_export(params_of(dest, "ova", folder / "src", name="web"), Tools())
    lock = try_lock(write_lock(str(dest)))
    assert lock is not None
    try:
        plan.upkeep[0].run()
        assert Path(partial_path(str(dest))).exists()
    finally:
        os.close(lock)
    plan.upkeep[0].run()
    assert not Path(partial_path(str(dest))).exists()


def test_a_failure_leaves_no_record_beside_the_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system keeps no attributes the record is a file of its own, which comes before the name."""

    def no_attributes(*_given: Any) -> None:
        raise OSError(95, "not here")

    def full(*_given: Any) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr(os, "setxattr", no_attributes)
    monkeypatch.setattr(_records, "publish", full)
    with pytest.raises(OSError, match="full"):
        export(job(folder, "ova"))
    assert os.listdir(folder) == ["src"]


def test_a_folders_record_is_durable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attribute that a power cut takes leaves a folder that nobody may replace."""
    done = list[tuple[str, str]]()

    def noted(name: str) -> None:
        real = getattr(export_place, name)

        def call(path: str, *rest: Any) -> None:
            done.append((name, os.path.basename(path)))
            real(path, *rest)

        monkeypatch.setattr(export_place, name, call)

    noted("write_record")
    noted("sync_file")
    made(folder, "proxmox")
    record = next(number for number, (name, _path) in enumerate(done) if name == "write_record")
    assert ("sync_file", done[record][1]) in done[record:]


@pytest.mark.parametrize("told", [{"dest": "/etc/passwd", "machine": {}}, {"files": 5}, 5])
def test_a_record_cannot_add_to_the_result(folder: Path, told: Any) -> None:
    dest = made(folder, "ova")
    record = read_record(str(dest))
    assert record is not None
    write_record(str(dest), Record(**{**record.__dict__, "options": {**record.options, "told": told}}))
    assert find(str(dest)).told == {}
