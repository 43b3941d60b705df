# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import random
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pycdlib
import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InvalidOption,
    MissingLibrary,
    UnsafeImage,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._formats.guest_content import RawContent
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_overlay import Backing, write_empty_qcow2
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    import_disks,
    import_drivers,
    import_job,
    usage_domains,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_import import plan_import
from ansible_collections.imageops.fleet.plugins.module_utils._operations.import_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._portable.iso_reader import files_of_iso
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, read_record, write_record
from ansible_collections.imageops.fleet.tests.unit.packages import (
    DISK,
    SIZE,
    VMDK,
    manifest,
    ovf,
    package,
    params_of,
    tar,
)


@pytest.fixture(autouse=True)
def no_libvirt(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture(autouse=True)
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What QEMU would read of a VMDK is what was written into it; raw files are read as they are."""
    real = import_disks._content
    (tmp_path / "plain").write_bytes(DISK)

    def content(source: Any, image: Any, lock: int) -> Any:
        if image.format == "raw" and source.whole:
            return real(source, image, lock)
        handle = os.open(tmp_path / "plain", os.O_RDONLY)

        @contextlib.contextmanager
        def opened() -> Any:
            yield RawContent(handle, SIZE)
            os.close(handle)

        return opened()

    monkeypatch.setattr(import_disks, "_content", content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    return path


def bring(wanted: dict[str, Any]) -> dict[str, Any]:
    state, lock = JobState("import-x", "import", "r"), os.open("/dev/null", os.O_RDONLY)
    try:
        return import_job.bring(wanted, Progress(state, Clock()), lock)
    finally:
        os.close(lock)


def brought(src: Path, dest: Path, **given: Any) -> dict[str, Any]:
    """Import, and what the next run tells of it."""
    params = params_of(src, dest, format=given.pop("format", "raw"), **given)
    assert plan_import(params, Tools()).changed
    assert bring(read_request(params).job("1").params) == {"changed": True}
    plan = plan_import(params, Tools())
    assert not plan.changed
    return plan.after


def test_an_ova_becomes_disks_and_options_of_vm(folder: Path) -> None:
    src = tar(folder / "web.ova", package())
    foretold = plan_import(params_of(src, folder / "web", format="raw"), Tools()).after
    found = brought(src, folder / "web")
    assert os.listdir(folder / "web") == ["web-disk1.raw"]
    assert (folder / "web/web-disk1.raw").read_bytes() == DISK
    assert stat.S_IMODE((folder / "web").stat().st_mode) == 0o711
    assert {**foretold, "manifest": True, "signed": False} == found
    assert found["vm"] == {
        "name": "web",
        "memory": str(2 << 30),
        "vcpus": 2,
        "firmware": "bios",
        "disks": [{"path": str(folder / "web/web-disk1.raw"), "format": "raw", "bus": "sata", "boot": 1}],
    }
    assert found["altered"] == ["Disk 1 was on scsi, and is on sata here."]
    assert found["left_out"] == ["1 network cards are left out (lan); name a network of this host by 'network'."]
    assert sorted(os.listdir(folder)) == ["web", "web.ova"]


def test_bus_and_network_may_be_named_later(folder: Path) -> None:
    src = tar(folder / "web.ova", package())
    brought(src, folder / "web")
    plan = plan_import(params_of(src, folder / "web", format="raw", bus="virtio", network="default"), Tools())
    assert not plan.changed
    assert plan.after["vm"]["disks"][0]["bus"] == "virtio"
    assert plan.after["vm"]["networks"] == [{"network": "default", "model": "vmxnet3"}]


@pytest.mark.parametrize("as_folder", [False, True])
def test_a_package_in_a_folder(folder: Path, as_folder: bool) -> None:
    for name, data in package():
        (folder / name).write_bytes(data)
    found = brought(folder if as_folder else folder / "web.ovf", folder.parent / "web")
    assert found["manifest"] is True
    assert (folder.parent / "web/web-disk1.raw").read_bytes() == DISK


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512"])
def test_manifests_of_all_kinds(folder: Path, algorithm: str) -> None:
    files = package()[:2]
    src = tar(folder / "web.ova", [files[0], ("web.mf", manifest(files, algorithm)), files[1]])
    assert brought(src, folder / "web")["manifest"] is True


def test_a_package_without_manifest(folder: Path) -> None:
    assert brought(tar(folder / "web.ova", package()[:2]), folder / "web")["manifest"] is False


def test_a_compressed_package(folder: Path) -> None:
    found = brought(tar(folder / "web.box", package(), packed=True), folder / "web")
    assert found["manifest"] is True
    assert os.listdir(folder / "web") == ["web-disk1.raw"]


def test_a_vagrant_box(folder: Path) -> None:
    told = {"provider": "libvirt", "format": "qcow2", "virtual_size": 1, "architecture": "amd64"}
    files = [("./metadata.json", json.dumps(told).encode()), ("./Vagrantfile", b"ruby"), ("./box.img", DISK)]
    found = brought(tar(folder / "debian.box", files, packed=True), folder / "debian")
    assert (folder / "debian/debian-disk1.raw").read_bytes() == DISK
    assert found["name"] == "debian"
    assert found["vm"]["disks"][0]["bus"] == "virtio"
    assert found["left_out"] == ["A Vagrantfile is Ruby, so what it says of CPUs, memory and networks is not read."]


def test_an_incus_image(folder: Path) -> None:
    files = [("metadata.yaml", b'architecture: "aarch64"\ncreation_date: 1\n'), ("rootfs.img", DISK)]
    found = brought(tar(folder / "x.tar", files), folder / "x")
    assert (found["machine"]["arch"], found["machine"]["firmware"]) == ("aarch64", "uefi")


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)]
)
def test_a_bare_disk(folder: Path, suffix: str, pack: Callable[[bytes], bytes]) -> None:
    src = folder / f"web.raw{suffix}"
    src.write_bytes(pack(DISK))
    found = brought(src, folder / "web", src_format="raw")
    assert (folder / "web/web-disk1.raw").read_bytes() == DISK
    assert (folder / "web/web-disk1.raw").stat().st_blocks * 512 < SIZE
    assert found["disks"][0]["size"] == SIZE


def iso(path: Path, files: dict[str, bytes], *, joliet: bool) -> Path:
    medium = pycdlib.PyCdlib()
    medium.new(joliet=3 if joliet else None)
    for number, (name, data) in enumerate(files.items()):
        # Without Joliet there are short names only.
        short = f"F{number}.{name.rpartition('.')[2].upper()[:3]};1"
        medium.add_fp(io.BytesIO(data), len(data), f"/{short}", **({"joliet_path": f"/{name}"} if joliet else {}))
    medium.write(str(path))
    medium.close()
    return path


def test_a_package_on_a_medium(folder: Path) -> None:
    src = iso(folder / "web.iso", dict(package()), joliet=True)
    assert brought(src, folder / "web")["manifest"] is True
    assert (folder / "web/web-disk1.raw").read_bytes() == DISK


@pytest.mark.parametrize("joliet", [False, True])
def test_a_disk_on_a_medium(folder: Path, joliet: bool) -> None:
    src = iso(folder / "web.iso", {"readme.txt": b"hello", "disk.raw" if joliet else "disk.img": DISK}, joliet=joliet)
    found = brought(src, folder / "web")
    assert found["name"] == "web"
    assert len(found["left_out"]) == 1
    assert (folder / "web/web-disk1.raw").read_bytes() == DISK


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.txt": b"x"}, "has 0 disks"),
        ({"a.img": DISK, "b.img": DISK}, "has 2 disks"),
        ({"../a.img": DISK}, "is no plain one"),
    ],
)
def test_media_that_are_refused(folder: Path, files: dict[str, bytes], says: str) -> None:
    names = {name.replace("../", "xx_"): data for name, data in files.items()}
    src = iso(folder / "web.iso", names, joliet=True)
    if "plain" in says:
        src.write_bytes(src.read_bytes().replace("xx_a".encode("utf-16-be"), "../a".encode("utf-16-be")))
    with pytest.raises((UnsafeImage, Unsupported), match=says):
        bring(read_request(params_of(src, folder / "web", format="raw")).job("1").params)
    assert os.listdir(folder) == ["web.iso"]


def test_a_medium_whose_folder_claims_more_than_any_has(folder: Path) -> None:
    src = iso(folder / "web.iso", {"a.img": DISK}, joliet=False)
    data = bytearray(src.read_bytes())
    # The length in the first folder's record, in the primary volume descriptor.
    data[16 * 2048 + 166 : 16 * 2048 + 170] = (3 << 30).to_bytes(4, "little")
    src.write_bytes(data)
    with pytest.raises(UnsafeImage, match=r"is no sound ISO file system: its folder has \d+ bytes; get it again\.$"):
        read_request(params_of(src, folder / "web"))


@pytest.mark.parametrize("seed", range(60))
def test_media_with_damage_are_read_or_refused(folder: Path, seed: int) -> None:
    chance, src = (
        random.Random(seed),
        iso(folder / "web.iso", {"a.img": b"x" * 5000, "b.txt": b"y"}, joliet=seed % 2 == 0),
    )
    data = bytearray(src.read_bytes())
    for _number in range(20):
        data[chance.randrange(32768, len(data))] = chance.randrange(256)
    with contextlib.suppress(UnsafeImage):
        files_of_iso(lambda place, count: bytes(data[place : place + count]), len(data), where="x")


def test_what_a_vm_wrote_is_kept(folder: Path) -> None:
    src = tar(folder / "web.ova", package())
    brought(src, folder / "web")
    (folder / "web/web-disk1.raw").write_bytes(b"a VM's")
    (folder / "web/web-disk1.snapshot").write_bytes(b"a VM's")
    assert not plan_import(params_of(src, folder / "web", format="raw"), Tools()).changed
    (folder / "web/web-disk1.snapshot").unlink()
    tar(src, package()[:2])
    with pytest.raises(Conflict, match="were written to since they were imported"):
        plan_import(params_of(src, folder / "web", format="raw"), Tools())
    assert plan_import(params_of(src, folder / "web", format="raw", force=True), Tools()).changed


def test_strangers_are_not_replaced(folder: Path) -> None:
    src = tar(folder / "web.ova", package())
    (folder / "web").mkdir()
    (folder / "web/file").write_bytes(b"mine")
    with pytest.raises(Conflict, match="was not made by an import"):
        plan_import(params_of(src, folder / "web", force=True), Tools())


def kind(value: bytes, **more: Any) -> Callable[[tarfile.TarInfo], None]:
    def change(member: tarfile.TarInfo) -> None:
        member.type = value
        for name, one in more.items():
            setattr(member, name, one)
        if value != tarfile.REGTYPE:
            member.size = 0

    return change


def named(name: str) -> list[tuple[str, bytes]]:
    return [*package(), (name, b"x")]


def relisted(files: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """With a manifest that fits."""
    return [*files, ("web.mf", manifest(files))]


PLAIN = ovf().decode()
ITEM = "ovf:VirtualHardwareSection>"
HOSTILE: dict[str, tuple[list[tuple[str, bytes]], Callable[[tarfile.TarInfo], None] | None, str]] = {
    "climbing name": (named("../x.vmdk"), None, "is no plain name"),
    "climbing name inside": (named("a/../../x"), None, "is no plain name"),
    "absolute name": (named("/etc/cron.d/x"), None, "is no plain name"),
    "folder in a name": (named("a/x.vmdk"), None, "is no plain name"),
    "backslash": (named("..\\x.vmdk"), None, "is no plain name"),
    "drive": (named("C:x.vmdk"), None, "is no plain name"),
    "control character": (named("x\n.vmdk"), None, "is no plain name"),
    "symbolic link": (named("x"), kind(tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link"),
    "hard link": (named("x"), kind(tarfile.LNKTYPE, linkname="web.ovf"), "is a link"),
    "character device": (named("x"), kind(tarfile.CHRTYPE), "is a link, a device"),
    "block device": (named("x"), kind(tarfile.BLKTYPE), "is a link, a device"),
    "pipe": (named("x"), kind(tarfile.FIFOTYPE), "is a link, a device"),
    "folder": (named("x"), kind(tarfile.DIRTYPE), "is no plain name"),
    "twice": (named("web.ovf"), None, "has the member 'web.ovf' twice"),
    "twice, once with a dot": (named("./web-disk1.vmdk"), None, "has the member 'web-disk1.vmdk' twice"),
    "many members": ([("web.ovf", ovf()), *((f"x{number}", b"") for number in range(1001))], None, "more than (1000|64) files"),
    "two descriptors": (named("other.ovf"), None, "has 2 descriptors"),
    "a document type": (
        relisted([("web.ovf", PLAIN.replace("?>\n", "?>\n<!DOCTYPE x>\n", 1).encode()), ("web-disk1.vmdk", VMDK)]),
        None,
        "document type declaration",
    ),
    "entities": (
        [("web.ovf", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><x>&c;</x>')],
        None,
        "document type declaration",
    ),
    "entities in UTF-16": (
        [("web.ovf", '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>'.encode("utf-16"))],
        None,
        "document type declaration",
    ),
    "no XML": ([("web.ovf", b"hello")], None, "is not well-formed XML"),
    "another XML": ([("web.ovf", b"<domain/>")], None, "no Envelope of OVF"),
    "deep XML": ([("web.ovf", b"<a>" * 100 + b"</a>" * 100)], None, "nested deeper"),
    "wide XML": ([("web.ovf", b"<a>" + b"<b/>" * 60000 + b"</a>")], None, "more than 50000 elements"),
    "long XML": ([("web.ovf", b" " * (5 << 20))], None, "has 5242880 bytes"),
    "file's size lies": (package(ovf(size=5)), None, "says that 'web-disk1.vmdk' has 5 bytes"),
    "disk's size lies": (package(ovf(capacity=SIZE * 2)), None, "and the descriptor says"),
    "disk's size is absurd": (package(ovf(capacity=1 << 63)), None, "capacity is '9223372036854775808'"),
    "climbing reference": (package(ovf(name="../secret")), None, "is not one beside it"),
    "absolute reference": (package(ovf(name="/etc/passwd")), None, "is not one beside it"),
    "reference to a server": (package(ovf(name="http://example.org/x.vmdk")), None, "is not one beside it"),
    "reference to nothing": (package(ovf(name="other.vmdk"))[:2], None, "names 'other.vmdk', and there is no such file"),
    "parent": (package(PLAIN.replace("ovf:fileRef=", 'ovf:parentRef="x" ovf:fileRef=').encode()), None, "rests on another"),
    "in pieces": (package(PLAIN.replace("ovf:href=", 'ovf:chunkSize="5" ovf:href=').encode()), None, "in pieces or compressed"),
    "compressed file": (package(PLAIN.replace("ovf:href=", 'ovf:compression="gzip" ovf:href=').encode()), None, "in pieces or compressed"),
    "no CPUs": (package(PLAIN.replace(">2</rasd:VirtualQuantity>", ">0</rasd:VirtualQuantity>", 1).encode()), None, "number of CPUs is 0"),
    "many CPUs": (
        package(PLAIN.replace(">2</rasd:VirtualQuantity>", ">99999</rasd:VirtualQuantity>", 1).encode()),
        None,
        "number of CPUs is '99999'",
    ),
    "memory without end": (package(PLAIN.replace("byte * 2^20", "byte * 2^60").encode()), None, "its memory is"),
    "powers without end": (package(PLAIN.replace("byte * 2^20", "byte * 99^99").encode()), None, "it counts in"),
    "no hardware": (package(PLAIN.replace(ITEM, "ovf:Other>").encode()), None, "describes no hardware"),
    "manifest of another disk": (
        [*package()[:2], ("web.mf", manifest([package()[0], ("web-disk1.vmdk", b"other")]))],
        None,
        "'web-disk1.vmdk' in .* is not what the manifest says",
    ),
    "manifest of another descriptor": (
        [*package()[:2], ("web.mf", manifest([("web.ovf", b"other"), package()[1]]))],
        None,
        "'web.ovf' in .* is not what the manifest says",
    ),
    "manifest without the disk": ([*package()[:2], ("web.mf", manifest(package()[:1]))], None, "leaves out 'web-disk1.vmdk'"),
    "manifest without the descriptor": ([*package()[:2], ("web.mf", manifest(package()[1:2]))], None, "leaves out 'web.ovf'"),
    "manifest of a file that isn't there": (
        [*package()[:2], ("web.mf", manifest([*package()[:2], ("passwd", b"")]))],
        None,
        "names 'passwd', and there is no such file",
    ),
    "no manifest": ([*package()[:2], ("web.mf", b"hello")], None, "it has the line 'hello'"),
    "a certificate that is none": ([*package(), ("web.cert", b"hello")], None, "holds no certificate and signature"),
    "a disk that names another file": (
        relisted([
            ("web.ovf", ovf(size=65536)),
            ("web-disk1.vmdk", b'# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicFlat"\n'
             b'RW 6144 FLAT "/etc/passwd" 0\n'.ljust(65536, b"\n")),
        ]),
        None,
        "is not safe to use",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("packed", [False, True], ids=["tar", "tar.gz"])
def test_hostile_archives_are_refused(folder: Path, name: str, packed: bool) -> None:
    files, change, says = HOSTILE[name]
    src = tar(folder / "web.ova", files, change=change, packed=packed)
    params = params_of(src, folder / "web", format="raw")
    with pytest.raises((UnsafeImage, Unsupported), match=says) as refused:
        bring(read_request(params).job("1").params)
    assert "imageops-partial" not in str(refused.value)
    assert os.listdir(folder) == ["web.ova"]


@pytest.mark.parametrize("cut", [100, 600, 5000, -11000])
def test_a_package_that_is_cut_off(folder: Path, cut: int) -> None:
    src = tar(folder / "web.ova", package())
    src.write_bytes(src.read_bytes()[:cut])
    with pytest.raises(ImageOpsError):
        bring(read_request(params_of(src, folder / "web", format="raw")).job("1").params)
    assert os.listdir(folder) == ["web.ova"]


def test_links_in_a_folder_are_not_followed(folder: Path) -> None:
    for name, data in package():
        (folder / name).write_bytes(data)
    (folder / "web-disk1.vmdk").rename(folder / "real")
    (folder / "web-disk1.vmdk").symlink_to(folder / "real")
    with pytest.raises(UnsafeImage, match="is a link"):
        plan_import(params_of(folder, folder.parent / "web"), Tools())


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (b"[]", "holds no object"),
        (b"no json", "holds no object"),
        (b'{"provider": "virtualbox"}', "is a box for 'virtualbox'"),
        (b'{"disks": {}}', "there is no such file|holds no such file|are no list"),
        (b'{"disks": 5}', "are no list"),
        (b'{"disks": [{"path": "../x"}]}', "is not one in it"),
        (b'{"disks": [{"path": "other.img"}]}', "holds no such file"),
        (b'{"disks": [{"path": "box.img"}, {"path": "box.img"}]}', "names a disk twice"),
    ],
)
def test_boxes_that_lie(folder: Path, told: bytes, says: str) -> None:
    src = tar(folder / "x.box", [("metadata.json", told), ("box.img", DISK)], packed=True)
    if told == b'{"disks": {}}':
        # As without disks: the one that is called box.img.
        assert brought(src, folder / "x")["disks"]
        return
    with pytest.raises((UnsafeImage, Unsupported), match=says):
        bring(read_request(params_of(src, folder / "x", format="raw")).job("1").params)
    assert os.listdir(folder) == ["x.box"]


def test_drivers_are_brought_by_virt_v2v(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It writes the disks anew, and says how they are attached from then on."""
    src, asked = tar(folder / "web.ova", package()), list[list[str]]()

    def run(_self: Any, argv: list[str], *, seconds: int = 0) -> str:
        asked.append(argv)
        out = Path(argv[argv.index("-os") + 1])
        (out / "guest-sda").write_bytes(b"with drivers".ljust(SIZE, b"\0"))
        (out / "guest.xml").write_text(
            "<domain><devices><disk device='disk'><source file='x'/><target dev='vda' bus='virtio'/></disk></devices></domain>"
        )
        described = Path(argv[argv.index("libvirtxml") + 1]).read_text()
        assert "web-disk1.raw" in described and 'bus="sata"' in described
        return ""

    monkeypatch.setattr(import_drivers.Guestfs, "run", run)
    monkeypatch.setattr(import_drivers, "require_program", str)
    foretold = plan_import(params_of(src, folder / "web", format="raw", drivers="virt-v2v"), Tools()).after
    assert foretold["vm"] == foretold["machine"] == "(known after apply)"
    found = brought(src, folder / "web", drivers="virt-v2v")
    assert asked[0][:4] == ["virt-v2v", "--quiet", "-i", "libvirtxml"]
    assert asked[0][-4:] == ["-of", "raw", "-on", "guest"]
    assert found["vm"]["disks"][0]["bus"] == "virtio"
    assert (folder / "web/web-disk1.raw").read_bytes().startswith(b"with drivers")
    assert os.listdir(folder / "web") == ["web-disk1.raw"]


@pytest.mark.parametrize("lacking", ["virt-v2v", "nbdkit", "nbdcopy"])
def test_without_what_brings_drivers(folder: Path, monkeypatch: pytest.MonkeyPatch, lacking: str) -> None:
    monkeypatch.setattr(_commands.shutil, "which", lambda name: None if name == lacking else f"/usr/bin/{name}")
    with pytest.raises(MissingLibrary, match=f"'{lacking}' is not installed"):
        plan_import(params_of(tar(folder / "web.ova", package()), folder / "web", drivers="virt-v2v"), Tools())


def test_a_source_that_changes_meanwhile_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    src = tar(folder / "web.ova", package())

    def touch(name: str) -> None:
        if name == "import:disk-written":
            os.utime(src, ns=(1, 1))

    monkeypatch.setattr(import_disks, "fault_point", touch)
    with pytest.raises(Conflict, match="was written to while it was imported"):
        bring(read_request(params_of(src, folder / "web", format="raw")).job("1").params)
    assert os.listdir(folder) == ["web.ova"]


def openssl(folder: Path, *words: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, input=stdin).stdout


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Two authorities, and somebody who has a certificate of the first one."""
    path, new = tmp_path / "keys", ("req", "-newkey", "rsa:2048", "-nodes")
    path.mkdir()
    for name in ("one", "other"):
        openssl(path, *new, "-x509", "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
    openssl(path, *new, "-subj", "/CN=signer", "-keyout", "signer.key", "-out", "request")
    signed = ("-CA", "one.pem", "-CAkey", "one.key", "-CAcreateserial", "-out", "signer.pem")
    openssl(path, "x509", "-req", "-in", "request", *signed)
    return path


def signed(folder: Path, keys: Path) -> Path:
    files = package()
    said = openssl(keys, "dgst", "-sha256", "-hex", "-sign", "signer.key", stdin=files[2][1]).rpartition(b" ")[2]
    line = b"SHA256(web.mf)= " + said.strip() + b"\n"
    return tar(folder / "web.ova", [*files, ("web.cert", line + (keys / "signer.pem").read_bytes())])


@pytest.mark.parametrize("trusted", ["one.pem", "signer.pem"])
def test_a_signature_of_somebody_who_is_trusted(folder: Path, keys: Path, trusted: str) -> None:
    found = brought(signed(folder, keys), folder / "web", trusted_certificates=str(keys / trusted))
    assert found["signed"] is True


def test_whom_the_host_trusts_may_not_sign(folder: Path, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificates by which the host knows web sites are nobody's word for a package."""
    store = keys / "store"
    store.mkdir()
    name = openssl(keys, "x509", "-in", "one.pem", "-noout", "-hash").decode().strip()
    (store / f"{name}.0").write_bytes((keys / "one.pem").read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(store))
    params = params_of(signed(folder, keys), folder / "web", trusted_certificates=str(keys / "other.pem"))
    with pytest.raises(Conflict, match="trusted_certificates: .* does not vouch for"):
        bring(read_request(params).job("1").params)
    assert os.listdir(folder) == ["web.ova"]


def test_who_asks_later_who_signed_gets_an_answer(folder: Path, keys: Path) -> None:
    src, given = signed(folder, keys), {"format": "raw", "trusted_certificates": str(keys / "other.pem")}
    brought(src, folder / "web")
    assert plan_import(params_of(src, folder / "web", **given), Tools()).changed
    with pytest.raises(Conflict, match="does not vouch for"):
        bring(read_request(params_of(src, folder / "web", **given)).job("1").params)
    brought(src, folder / "web", trusted_certificates=str(keys / "one.pem"))
    assert not plan_import(params_of(src, folder / "web", format="raw"), Tools()).changed


def test_a_signature_of_half_a_byte(folder: Path, keys: Path) -> None:
    text = b"SHA256(web.mf)= " + b"a" * 65 + b"\n" + (keys / "signer.pem").read_bytes()
    params = params_of(tar(folder / "web.ova", [*package(), ("web.cert", text)]), folder / "web")
    with pytest.raises(UnsafeImage, match="holds no certificate and signature|does not fit"):
        bring(read_request(params).job("1").params)


def test_hidden_files_are_somebodys_too(folder: Path) -> None:
    src = tar(folder / "web.ova", package())
    brought(src, folder / "web")
    (folder / "web/.notes").write_bytes(b"mine")
    tar(src, package()[:2])
    for force in (False, True):
        with pytest.raises(Conflict, match="or holds other files too"):
            plan_import(params_of(src, folder / "web", format="raw", force=force), Tools())


def with_variables() -> list[tuple[str, bytes]]:
    """As vSphere exports a machine with UEFI: its variables are a file of the package, and in the manifest."""
    files = [*package()[:2], ("web.nvram", b"variables"), ("tools.iso", b"medium")]
    return [*files, ("web.mf", manifest(files))]


@pytest.mark.parametrize("packed", [None, False, True], ids=["folder", "tar", "tar.gz"])
def test_what_else_the_manifest_lists(folder: Path, packed: bool | None) -> None:
    if packed is None:
        for name, data in with_variables():
            (folder / name).write_bytes(data)
    src = folder if packed is None else tar(folder / "web.ova", with_variables(), packed=packed)
    assert brought(src, folder.parent / "web")["manifest"] is True
    assert os.listdir(folder.parent / "web") == ["web-disk1.raw"]


@pytest.mark.parametrize("packed", [None, False, True], ids=["folder", "tar", "tar.gz"])
def test_what_else_the_manifest_lists_is_proven(folder: Path, packed: bool | None) -> None:
    files = [(name, b"other" if name == "web.nvram" else data) for name, data in with_variables()]
    if packed is None:
        for name, data in files:
            (folder / name).write_bytes(data)
    src = folder if packed is None else tar(folder / "web.ova", files, packed=packed)
    with pytest.raises(UnsafeImage, match="'web.nvram' in .* is not what the manifest says"):
        bring(read_request(params_of(src, folder.parent / "web")).job("1").params)


def test_texts_without_end(folder: Path) -> None:
    """Each may have 4 MiB, and all are in memory."""
    files = [(f"{number}.mf", bytes(4 << 20)) for number in range(5)]
    src = tar(folder / "web.box", [("metadata.json", b"{}"), *files, ("box.img", DISK)], packed=True)
    with pytest.raises(UnsafeImage, match="has more than 16777216 bytes of texts"):
        bring(read_request(params_of(src, folder / "web")).job("1").params)


def test_a_stream_that_begins_with_small_pieces(folder: Path) -> None:
    src = tar(folder / "web", package())
    data = src.read_bytes()
    src.write_bytes(gzip.compress(b"") + gzip.compress(data[:100]) + gzip.compress(data[100:]))
    assert brought(src, folder / "vm")["manifest"] is True


def test_what_a_killed_run_left(folder: Path) -> None:
    """Another kind of work has left a file under the hidden name, and not a folder."""
    Path(partial_path(str(folder / "web"))).write_bytes(b"half")
    brought(tar(folder / "web.ova", package()), folder / "web")
    assert sorted(os.listdir(folder)) == ["web", "web.ova"]


def test_errors_name_what_was_given(folder: Path) -> None:
    """Not the hidden file to which a compressed disk was written."""
    src = folder / "web.raw.gz"
    src.write_bytes(gzip.compress(DISK))
    with pytest.raises(Conflict, match=r"src: .*/web\.raw\.gz") as refused:
        bring(read_request(params_of(src, folder / "web", src_format="qcow2")).job("1").params)
    assert "imageops-partial" not in str(refused.value)


@pytest.mark.parametrize(
    "changed",
    [
        {"disks": [["../../secret", SIZE]]},
        {"disks": [["web-disk1.raw", SIZE], ["other", SIZE]]},
        {"disks": [[5, SIZE]]},
        {"disks": 5},
        {"machine": {"name": "web", "later": 1, "drives": [], "nics": []}},
        {"machine": None},
        {"proven": None},
    ],
)
def test_a_record_that_somebody_else_wrote(folder: Path, changed: dict[str, Any]) -> None:
    """QEMU's account may write attributes of its disks; no path of another file comes of that, and no traceback."""
    src, disk = tar(folder / "web.ova", package()), folder / "web/web-disk1.raw"
    brought(src, folder / "web")
    record = read_record(str(disk))
    assert record is not None
    told = {**record.options["told"], **changed}
    write_record(str(disk), Record(**{**record.__dict__, "options": {**record.options, "told": told}}))
    with pytest.raises(Conflict, match="was not made by an import"):
        plan_import(params_of(src, folder / "web", format="raw"), Tools())


def test_a_record_cannot_add_to_the_result(folder: Path) -> None:
    src, disk = tar(folder / "web.ova", package()), folder / "web/web-disk1.raw"
    before = brought(src, folder / "web")
    record = read_record(str(disk))
    assert record is not None
    told = {**record.options["told"], "proven": {"manifest": True, "signed": False, "vm": {"name": "other"}}}
    write_record(str(disk), Record(**{**record.__dict__, "options": {**record.options, "told": told}}))
    assert plan_import(params_of(src, folder / "web", format="raw"), Tools()).after == before


def test_a_disk_in_an_archive_that_ends_within_a_sector(folder: Path) -> None:
    """QEMU opens no such part of a file."""
    disk = DISK + b"x" * 7
    files = [("web.ovf", ovf(name="web.raw", size=len(disk), capacity=SIZE + 512)), ("web.raw", disk)]
    with pytest.raises(Unsupported, match="web.raw of .* has 3145735 bytes, which are no whole sectors"):
        bring(read_request(params_of(tar(folder / "web.ova", files), folder / "web")).job("1").params)
    for name, data in files:
        (folder.parent / name).write_bytes(data)
    assert brought(folder.parent / "web.ovf", folder / "web")["disks"][0]["size"] == SIZE + 512


def test_what_was_proven_is_what_is_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when another file has the name for a while."""
    files = [("web.ovf", ovf(name="web.raw", size=SIZE)), ("web.raw", DISK)]
    for name, data in (*files, ("web.mf", manifest(files)), ("other", b"x" * SIZE)):
        (folder / name).write_bytes(data)
    disk, real = folder / "web.raw", import_job.verify

    def verify(*given: Any, **named: Any) -> Any:
        found = real(*given, **named)
        disk.rename(folder / "kept")
        (folder / "other").rename(disk)
        return found

    def back(name: str) -> None:
        if name == "import:disk-written":
            disk.unlink()
            (folder / "kept").rename(disk)

    monkeypatch.setattr(import_job, "verify", verify)
    monkeypatch.setattr(import_disks, "fault_point", back)
    params = params_of(folder, folder.parent / "web", format="raw")
    wanted = read_request(params).job("1").params
    # The stranger's file is none of the package.
    wanted["files"] = [one for one in wanted["files"] if not one["path"].endswith("/other")]
    assert bring(wanted) == {"changed": True}
    assert (folder.parent / "web/web-disk1.raw").read_bytes() == DISK


def overlay(path: Path, base: Path) -> Path:
    """An image over `base`, as the module disk makes it."""
    with open(path, "wb") as stream:
        write_empty_qcow2(stream, size=SIZE, backing=Backing(str(base), "raw"))
    write_record(str(path), Record("disk", "qcow2", SIZE, options={"backing": str(base)}))
    return path


def test_what_is_below_a_disk_is_a_source_too(folder: Path) -> None:
    base = folder / "base.raw"
    base.write_bytes(DISK)
    src = overlay(folder / "web.qcow2", base)
    brought(src, folder / "vm")
    params = params_of(src, folder / "vm", format="raw")
    wanted = read_request(params).job("1").params
    os.utime(base, ns=(5, 5))
    assert plan_import(params, Tools()).changed
    with pytest.raises(Conflict, match="was written to while it was imported"):
        bring(wanted)
    with pytest.raises(InvalidOption, match="is, or holds, the source"):
        plan_import(params_of(overlay(folder / "above.qcow2", folder / "vm/web-disk1.raw"), folder / "vm"), Tools())
    base.unlink()
    with pytest.raises(UnsafeImage, match=r"base\.raw does not exist"):
        plan_import(params, Tools())


def test_a_package_holds_its_disks_whole(folder: Path) -> None:
    base = folder / "base.raw"
    base.write_bytes(DISK)
    (folder / "web").mkdir()
    disk = overlay(folder / "web/web-disk1.vmdk", base)
    (folder / "web/web.ovf").write_bytes(ovf(size=disk.stat().st_size))
    with pytest.raises(UnsafeImage, match=r"rests on .*/base\.raw, and a package holds its disks whole"):
        bring(read_request(params_of(folder / "web", folder / "vm")).job("1").params)
    assert not (folder / "vm").exists()
