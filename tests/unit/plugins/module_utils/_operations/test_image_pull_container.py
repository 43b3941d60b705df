# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import io
import json
import os
import random
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import zstandard
from ansible_collections.imageops.fleet.plugins.module_utils import _files
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    INDEX,
    MANIFEST,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import parse_reference
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InUse, NoSpace
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_pull_container_job, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.bandwidth_limit import BandwidthLimit
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull_container import (
    container_layers,
    extract_disk,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull_request import PullRequest
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

from .._formats.images import qemu_img

pytestmark = pytest.mark.usefixtures("state_dir")

MIB = 1 << 20
DATA = random.Random(9).randbytes(MIB) + bytes(3 * MIB) + b"end".ljust(512, b"\0")
PACKERS = {"plain": bytes, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress}


def tar(files: Mapping[str, bytes | str]) -> bytes:
    """A tar of files, where a text is what a symbolic link points at."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


class Container:
    """A repository with images of containers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = LayoutStore(str(path))

    def blob(self, data: bytes, kind: str) -> dict[str, Any]:
        self.store.write_blob(data, digest_of(data))
        return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

    def publish(self, *layers: bytes, tag: str = "1") -> str:
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(b"{}", "application/vnd.oci.image.config.v1+json"),
            "layers": [self.blob(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
        }
        return self.store.write_manifest(json.dumps(manifest).encode(), MANIFEST, tag=tag).digest

    def pull(self, dest: Path, **given: Any) -> dict[str, Any]:
        return run_module("image_pull", {"image": f"dir:{self.path}:1", "dest": str(dest), **given})


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path / "container")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    return path


def disk(folder: Path, kind: str) -> bytes:
    raw, made = folder.parent / "raw", folder.parent / f"disk.{kind}"
    raw.write_bytes(DATA)
    qemu_img("convert", "-f", "raw", "-O", kind, str(raw), str(made))
    return made.read_bytes()


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize(("kind", "format"), [("raw", "raw"), ("raw", "qcow2"), ("qcow2", "qcow2"), ("qcow2", "raw")])
def test_the_disk_comes_out(container: Container, folder: Path, packer: str, kind: str, format: str) -> None:
    files = {"etc/motd": b"hello", "disk/debian.img": disk(folder, kind)}
    digest = container.publish(PACKERS[packer](tar(files)))
    dest = folder / "image"
    result = container.pull(dest, format=format)
    assert result.get("changed"), result["msg"]
    told = result["images"][0]
    assert (told["digest"], told["disk"], told["format"]) == (digest, "debian.img", format)
    assert told["virtual_size"] == len(DATA)
    qemu_img("compare", "-f", "raw", "-F", format, str(folder.parent / "raw"), str(dest))
    assert os.listdir(folder) == ["image"]
    assert not container.pull(dest, format=format)["changed"]
    assert "no digests of its blocks" in container.pull(dest, format=format, verify="deep")["msg"]


def test_the_upper_layer_counts(container: Container, folder: Path) -> None:
    container.publish(tar({"disk/a": bytes(512)}), tar({"./disk/a": DATA}))
    container.pull(folder / "image", format="raw")
    assert (folder / "image").read_bytes() == DATA


@pytest.mark.parametrize(
    "upper",
    [
        {"disk/.wh.a": b"", "disk/b": DATA},
        {"disk/b": DATA, "disk/.wh.a": b""},
        {"disk/.wh..wh..opq": b"", "disk/b": DATA},
        {".wh.disk": b"", "disk/b": DATA},
        {".wh..wh..opq": b"", "disk/b": DATA},
    ],
)
def test_what_an_upper_layer_removed_is_no_disk(container: Container, folder: Path, upper: dict[str, bytes]) -> None:
    container.publish(tar({"disk/a": bytes(512)}), tar(upper), tar({"etc/motd": b"hello"}))
    assert container.pull(folder / "image", format="raw")["images"][0]["disk"] == "b"
    assert (folder / "image").read_bytes() == DATA


def test_a_removed_disk_is_gone(container: Container, folder: Path) -> None:
    container.publish(tar({"disk/a": DATA}), tar({"disk/.wh.a": b""}))
    assert "holds no disk in its folder /disk" in container.pull(folder / "image")["msg"]
    container.publish(tar({"disk/a": DATA}), tar({"disk": "elsewhere"}))
    assert "holds no disk in its folder /disk" in container.pull(folder / "image")["msg"]


def test_too_many_disks_are_refused(container: Container, folder: Path) -> None:
    container.publish(tar({f"disk/.wh.{number}": b"" for number in range(5000)}))
    assert "more than 4096 files" in container.pull(folder / "image")["msg"]


def test_one_of_several_disks_is_named(container: Container, folder: Path) -> None:
    container.publish(tar({"disk/a": bytes(512), "disk/b": DATA}))
    assert "holds several disks (a, b, ...)" in container.pull(folder / "image")["msg"]
    assert container.pull(folder / "image", disk="b", format="raw")["changed"]
    assert (folder / "image").read_bytes() == DATA
    assert "holds no disk c" in container.pull(folder / "other", disk="c")["msg"]


def test_several_machines(container: Container, folder: Path) -> None:
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    mine = names[os.uname().machine]
    entries = []
    for machine in ("s390x", mine):
        digest = container.publish(tar({"disk/a": DATA if machine == mine else bytes(512)}), tag=f"for-{machine}")
        size = len(container.store.manifest(digest)[1])
        told = {"mediaType": MANIFEST, "digest": digest, "size": size}
        entries.append({**told, "platform": {"os": "linux", "architecture": machine}})
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    container.store.write_manifest(json.dumps(index).encode(), INDEX, tag="1")
    assert container.pull(folder / "image", format="raw")["changed"]
    assert (folder / "image").read_bytes() == DATA


def overlay(folder: Path) -> bytes:
    path = folder.parent / "overlay"
    qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", str(path), "1M")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"etc/motd": b"hello"}, "so it is no containerDisk"),
        ({"disk/a": "/etc/shadow"}, "is a link, a device or a sparse member"),
        ({"disk/../../a": DATA}, "so it is no containerDisk"),
        ({"disk/deep/a": DATA}, "so it is no containerDisk"),
    ],
)
def test_what_is_no_container_disk(container: Container, folder: Path, files: dict[str, bytes], told: str) -> None:
    container.publish(tar(files))
    assert told in container.pull(folder / "image")["msg"]
    assert not os.listdir(folder)


def test_a_hostile_disk_is_refused(container: Container, folder: Path) -> None:
    container.publish(tar({"disk/a": overlay(folder)}))
    result = container.pull(folder / "image")
    assert result["failed"] and "not safe" in result["msg"] and "imageops-partial" not in result["msg"]
    assert not os.listdir(folder)


def test_a_damaged_layer_is_refused(container: Container, folder: Path) -> None:
    layer = tar({"disk/a": DATA})
    container.publish(layer)
    blob = container.path / "blobs" / "sha256" / digest_of(layer).partition(":")[2]
    blob.chmod(0o644)
    blob.write_bytes(layer.replace(b"end", b"END"))
    assert "has another digest" in container.pull(folder / "image")["msg"]
    blob.write_bytes(b"no tar".ljust(len(layer)))
    assert "no sound tar" in container.pull(folder / "image")["msg"]
    assert not os.listdir(folder)


@pytest.mark.parametrize("packer", PACKERS)
@pytest.mark.parametrize("damage", ["a bit", "all of it"])
def test_a_layer_that_a_mirror_damaged_comes_from_elsewhere(
    container: Container, folder: Path, tmp_path: Path, packer: str, damage: str
) -> None:
    layer = PACKERS[packer](tar({"disk/a": DATA}))
    container.publish(layer)
    mirror = tmp_path / "mirror"
    shutil.copytree(container.path, mirror)
    blob = mirror / "blobs" / "sha256" / digest_of(layer).partition(":")[2]
    blob.chmod(0o644)
    middle = len(layer) // 2
    bad = layer[:middle] + bytes([layer[middle] ^ 1]) + layer[middle + 1 :]
    blob.write_bytes(bad if damage == "a bit" else b"no tar".ljust(len(layer)))
    assert container.pull(folder / "image", format="raw", mirrors=[f"dir:{mirror}"]).get("changed")
    assert (folder / "image").read_bytes() == DATA


def room(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Let file systems tell that they have so many bytes free."""
    told = os.statvfs("/")
    fake = os.statvfs_result((1, 1, size, size, size, *tuple(told)[5:]))
    monkeypatch.setattr(_files.os, "statvfs", lambda path: fake)


def test_room_for_the_layer_is_looked_for(container: Container, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container.publish(tar({"disk/a": DATA}))
    room(monkeypatch, 2 * MIB)
    result = container.pull(folder / "image")
    assert result["failed"] and "needs about 4" in result["msg"] and not os.listdir(folder)


def test_room_for_the_disk_is_looked_for_before_it_is_written(
    container: Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packed it would fit."""
    digest = container.publish(gzip.compress(tar({"disk/a": b"QFI\xfb" + bytes(8 * MIB)})))
    room(monkeypatch, 2 * MIB)
    layers = container_layers(container.store, digest)
    with pytest.raises(NoSpace, match="The disk a needs about 8"):
        extract_disk(container.store, layers, "", str(tmp_path / "out"), report=lambda count: None)
    assert (tmp_path / "out").stat().st_size == 0


def job(container: Container, dest: Path, digest: str, **given: Any) -> dict[str, Any]:
    """What the job is given that pulls a container's image."""
    wanted: dict[str, Any] = {
        "reference": parse_reference(f"dir:{container.path}:1", option="image"), "digest": digest, "disk": "", "dest": str(dest),
        "format": "raw", "access": StoreAccess(), "held": True, "seeds": [], "trust_seeds": False, "verify": "quick", "force": False,
        "owner": None, "group": None, "mode": None, "bandwidth": None, "connections": 8,
    }  # fmt: skip
    return PullRequest(**{**wanted, **given}).job("1").params


def pull(params: dict[str, Any]) -> dict[str, Any]:
    return image_pull_container_job.pull_container(params, Progress(JobState("pull-1", "pull", ""), Clock()), -1)


def test_an_image_that_came_into_use_meanwhile_stays(
    container: Container, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    dest, digest = folder / "image", container.publish(tar({"disk/a": DATA}))
    dest.write_bytes(b"old".ljust(512))
    params = job(container, dest, digest)

    def make_disk(moment: str) -> None:
        if moment == "pull-image:before-publish":
            qemu_img("create", "-q", "-f", "qcow2", "-b", str(dest), "-F", "raw", str(folder / "disk.qcow2"))

    with monkeypatch.context() as patched, pytest.raises(InUse, match="Give each version a name of its own"):
        patched.setattr(image_pull_container_job, "fault_point", make_disk)
        pull(params)
    assert dest.read_bytes() == b"old".ljust(512)
    (folder / "disk.qcow2").unlink()
    pull(params)
    assert dest.read_bytes() == DATA


def test_a_layer_comes_no_faster_than_it_may(
    container: Container, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, waited = tar({"disk/a": DATA}), []
    monkeypatch.setattr(BandwidthLimit, "wait", lambda limit, count: waited.append((limit._limit, count)))
    pull(job(container, folder / "image", container.publish(layer), bandwidth=5000))
    assert {limit for limit, _count in waited} == {5000} and sum(count for _limit, count in waited) == len(layer)
