# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import parse_reference
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, InUse, TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_pull_job, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_images import held_images
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull_log import PullLog
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull_request import PullRequest
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess
from ansible_collections.imageops.fleet.tests.unit.catalog_images import Disk, HandMade, bytes_of

from .._formats.images import qemu_img

SIZE = 300 * BLOCK_SIZE + 512
NUMBERS = [0, 1, 2, 3, 50, 51, *range(100, 220), 300]


def noise(number: int, seed: int = 0) -> bytes:
    """A block that compresses by half."""
    return random.Random(number + 1000 * seed).randbytes(BLOCK_SIZE // 2) + bytes(BLOCK_SIZE // 2)


def disk(*, changed: tuple[int, ...] = (), seed: int = 1) -> Disk:
    blocks = {number: noise(number, seed if number in changed else 0) for number in NUMBERS}
    blocks[300] = blocks[300][:512].ljust(BLOCK_SIZE, b"\0")
    return SIZE, blocks


@pytest.fixture
def catalog(tmp_path: Path, state_dir: Path) -> HandMade:
    return HandMade(tmp_path / "catalog")


def request(catalog: HandMade, dest: Path, digest: str, **changed: Any) -> dict[str, Any]:
    """The params of the job that pulls an image."""
    given: dict[str, Any] = {
        "reference": parse_reference(f"dir:{catalog.path}:1", option="image"),
        "digest": digest,
        "disk": "",
        "dest": str(dest),
        "format": "qcow2",
        "access": StoreAccess(),
        "held": True,
        "seeds": [],
        "trust_seeds": False,
        "verify": "quick",
        "force": False,
        "owner": None,
        "group": None,
        "mode": 0o644,
        "bandwidth": None,
        "connections": 8,
    }
    return PullRequest(**{**given, **changed}).job("1").params


def pull(params: dict[str, Any]) -> dict[str, Any]:
    return image_pull_job.pull(params, Progress(JobState("pull-1", "pull", ""), Clock()), -1)


def content(path: Path, format: str) -> bytes:
    if format == "raw":
        return path.read_bytes()
    found = json.loads(qemu_img("check", "--output=json", "-f", "qcow2", str(path)))
    assert found["check-errors"] == 0 and not {"leaks", "corruptions"} & set(found)
    raw = path.with_suffix(".seen")
    qemu_img("convert", "-f", "qcow2", "-O", "raw", str(path), str(raw))
    return raw.read_bytes()


def nothing_left(dest: Path) -> bool:
    hidden = [name for name in os.listdir(dest.parent) if "imageops-partial" in name]
    return not hidden and not os.path.exists(PullLog(str(dest)).path)


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_what_was_published_comes(catalog: HandMade, tmp_path: Path, format: str) -> None:
    dest = tmp_path / "image"
    digest = catalog.publish({"vda": disk()}, tag="1")
    told = pull(request(catalog, dest, digest, format=format))
    assert content(dest, format) == bytes_of(disk()).ljust(-(-SIZE // 512) * 512, b"\0")
    assert told["fetched_bytes"] == sum(catalog.packs.values())
    assert (told["reused_bytes"], told["refetched_bytes"]) == (0, 0)
    record = read_record(str(dest))
    assert record is not None and record.operation == "pull"
    assert (record.source["manifest"], record.source["disk"]) == (digest, "vda")
    assert dest.stat().st_mode & 0o777 == 0o644
    assert nothing_left(dest)
    held = held_images()
    assert [(one.path, one.digest, one.valid) for one in held] == [(str(dest), digest, True)]


def test_a_newer_record_of_another_file_hinders_no_pull(catalog: HandMade, tmp_path: Path) -> None:
    digest = catalog.publish({"vda": disk()}, tag="1")
    pull(request(catalog, tmp_path / "other", digest))
    os.setxattr(tmp_path / "other", "user.imageops.record", b'{"schema": 99}')
    pull(request(catalog, tmp_path / "image", digest))
    assert [(Path(one.path).name, one.valid) for one in held_images()] == [("image", True), ("other", False)]


def test_a_raw_image_keeps_its_holes(catalog: HandMade, tmp_path: Path) -> None:
    dest = tmp_path / "image"
    pull(request(catalog, dest, catalog.publish({"vda": disk()}, tag="1"), format="raw"))
    assert dest.stat().st_blocks * 512 <= (len(NUMBERS) + 1) * BLOCK_SIZE


@pytest.mark.parametrize("formats", [("raw", "raw"), ("qcow2", "raw"), ("raw", "qcow2"), ("qcow2", "qcow2")])
@pytest.mark.parametrize("trusting", [True, False])
def test_the_next_version_costs_what_changed(
    catalog: HandMade, tmp_path: Path, formats: tuple[str, str], trusting: bool
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    pull(request(catalog, old, catalog.publish({"vda": disk()}, tag="1"), format=formats[0]))
    before = sum(catalog.packs.values())
    digest = catalog.publish({"vda": disk(changed=(2, 150))}, tag="2")
    told = pull(request(catalog, new, digest, format=formats[1], trust_seeds=trusting))
    assert content(new, formats[1])[:SIZE] == bytes_of(disk(changed=(2, 150)))
    assert told["fetched_bytes"] == sum(catalog.packs.values()) - before
    assert told["reused_bytes"] == (len(NUMBERS) - 2) * BLOCK_SIZE


def test_an_image_that_somebody_wrote_to_helps_as_far_as_it_is_right(catalog: HandMade, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    pull(request(catalog, old, catalog.publish({"vda": disk()}, tag="1"), format="raw"))
    with old.open("r+b") as stream:
        stream.seek(100 * BLOCK_SIZE)
        stream.write(b"somebody")
    assert [one.valid for one in held_images()] == [False]
    digest = catalog.publish({"vda": disk(changed=(2,))}, tag="2")
    told = pull(request(catalog, new, digest, trust_seeds=True))
    assert content(new, "qcow2")[:SIZE] == bytes_of(disk(changed=(2,)))
    assert told["reused_bytes"] == (len(NUMBERS) - 2) * BLOCK_SIZE


def test_blocks_that_are_equal_come_once(catalog: HandMade, tmp_path: Path) -> None:
    same: Disk = (100 * BLOCK_SIZE, {number: noise(7) for number in range(0, 100, 3)})
    dest = tmp_path / "image"
    told = pull(request(catalog, dest, catalog.publish({"vda": same}, tag="1")))
    assert content(dest, "qcow2") == bytes_of(same)
    assert told["fetched_bytes"] < BLOCK_SIZE


def test_a_pull_goes_on_where_it_was(catalog: HandMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dest = tmp_path / "image"
    params = request(catalog, dest, catalog.publish({"vda": disk()}, tag="1"), connections=1, format="raw")
    with monkeypatch.context() as patched:
        patched.setenv("IMAGEOPS_FAULT", "pull-image:before-header:full")
        with pytest.raises(OSError, match="No space"):
            pull(params)
        assert not dest.exists()
        partial = Path(f"{tmp_path}/.image.imageops-partial")
        with partial.open("r+b") as stream:
            stream.seek(150 * BLOCK_SIZE)
            stream.write(b"lost in a power cut")
    told = pull(params)
    assert content(dest, "raw") == bytes_of(disk())
    assert told["resumed_bytes"] == (len(NUMBERS) - 1) * BLOCK_SIZE
    assert 0 < told["fetched_bytes"] == told["refetched_bytes"] < BLOCK_SIZE
    assert nothing_left(dest)


def test_what_another_pull_left_is_not_gone_on_with(
    catalog: HandMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dest = tmp_path / "image"
    with monkeypatch.context() as patched:
        patched.setenv("IMAGEOPS_FAULT", "pull-image:before-header:full")
        with pytest.raises(OSError, match="No space"):
            pull(request(catalog, dest, catalog.publish({"vda": disk()}, tag="1"), format="raw"))
    told = pull(request(catalog, dest, catalog.publish({"vda": disk(changed=(1,))}, tag="1")))
    assert told["resumed_bytes"] == 0
    assert content(dest, "qcow2")[:SIZE] == bytes_of(disk(changed=(1,)))


def test_a_damaged_pack_is_named(catalog: HandMade, tmp_path: Path) -> None:
    dest = tmp_path / "image"
    digest = catalog.publish({"vda": disk()}, tag="1")
    pack = next(iter(catalog.packs))
    blob = catalog.path / "blobs" / "sha256" / pack.partition(":")[2]
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(data)
    with pytest.raises(TransferError, match=f"the pack {pack} is damaged: of the block at byte"):
        pull(request(catalog, dest, digest))
    assert not dest.exists()


def test_the_catalog_is_asked_when_every_mirror_lies(catalog: HandMade, tmp_path: Path) -> None:
    dest = tmp_path / "image"
    digest = catalog.publish({"vda": disk()}, tag="1")
    mirrors = [tmp_path / f"mirror{number}" for number in range(3)]
    for mirror in mirrors:
        shutil.copytree(catalog.path, mirror)
        for pack in catalog.packs:
            blob = mirror / "blobs" / "sha256" / pack.partition(":")[2]
            blob.chmod(0o644)
            blob.write_bytes(bytes(blob.stat().st_size))
    access = StoreAccess(mirrors=tuple(f"dir:{mirror}" for mirror in mirrors))
    pull(request(catalog, dest, digest, format="raw", access=access, connections=1))
    assert content(dest, "raw") == bytes_of(disk())


def test_a_shortened_pack_is_refused(catalog: HandMade, tmp_path: Path) -> None:
    digest = catalog.publish({"vda": disk()}, tag="1")
    pack = next(iter(catalog.packs))
    blob = catalog.path / "blobs" / "sha256" / pack.partition(":")[2]
    blob.chmod(0o644)
    os.truncate(blob, 1000)
    with pytest.raises(TransferError):
        pull(request(catalog, tmp_path / "image", digest))


def test_a_file_that_came_meanwhile_stays(catalog: HandMade, tmp_path: Path) -> None:
    dest = tmp_path / "image"
    params = request(catalog, dest, catalog.publish({"vda": disk()}, tag="1"))
    dest.write_bytes(b"mine")
    with pytest.raises(Conflict, match="changed by somebody else"):
        pull(params)
    assert dest.read_bytes() == b"mine"


@pytest.mark.parametrize("used", [False, True])
def test_an_image_that_came_into_use_meanwhile_stays(
    catalog: HandMade, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, used: bool
) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    dest, seen = tmp_path / "image", []
    pull(request(catalog, dest, catalog.publish({"vda": disk()}, tag="1"), format="raw"))
    old = dest.read_bytes()

    def make_disk(moment: str) -> None:
        seen.append(moment)
        if used and moment == "pull-image:before-publish":
            qemu_img("create", "-q", "-f", "qcow2", "-b", str(dest), "-F", "raw", str(tmp_path / "disk.qcow2"))

    monkeypatch.setattr(image_pull_job, "fault_point", make_disk)
    params = request(catalog, dest, catalog.publish({"vda": disk(changed=(2,))}, tag="1"), format="raw")
    if used:
        told = (
            r"^dest: .* the overlay \S+disk\.qcow2 reads it as its backing file\. Give each version a name of its own"
        )
        with pytest.raises(InUse, match=told):
            pull(params)
    else:
        pull(params)
    assert (dest.read_bytes() == old) == used
    assert ("pull-image:after-publish" in seen) != used
