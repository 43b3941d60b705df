# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_images import forget_held, held_images
from ansible_collections.imageops.fleet.plugins.module_utils._records import (
    read_record,
    untouched,
    write_record,
)
from ansible_collections.imageops.fleet.tests.unit.catalog_images import Disk, HandMade, bytes_of
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

from ..module_utils._formats.images import qemu_img

pytestmark = pytest.mark.usefixtures("state_dir", "no_libvirt")


@pytest.fixture
def no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage.world_of.__globals__["World"], "domains_using", lambda *arguments: [])
    monkeypatch.setattr(usage, "pool_folders", lambda tools: set())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    return path


@pytest.fixture
def catalog(tmp_path: Path) -> HandMade:
    return HandMade(tmp_path / "catalog")


def disk(seed: int = 0, *, size: int = 40 * BLOCK_SIZE) -> Disk:
    noise = random.Random(1)
    blocks = {number: noise.randbytes(BLOCK_SIZE) for number in (*range(10), *range(30, 40))}
    return size, {**blocks, 5: random.Random(100 + seed).randbytes(BLOCK_SIZE)}


def pull(catalog: HandMade, dest: Path | str, tag: str = "1", *, check: bool = False, **given: Any) -> dict[str, Any]:
    options = {"image": f"dir:{catalog.path}:{tag}", **({"dest": str(dest)} if dest else {}), **given}
    return run_module("image_pull", options, check=check)


def pulled(*arguments: Any, **given: Any) -> dict[str, Any]:
    result = pull(*arguments, **given)
    assert not result.get("failed"), result["msg"]
    return result


def refusal(*arguments: Any, **given: Any) -> str:
    result = pull(*arguments, **given)
    assert result.get("failed") and not result.get("changed")
    return str(result["msg"])


def test_an_image_comes_once(catalog: HandMade, folder: Path) -> None:
    digest = catalog.publish({"vda": disk()}, tag="1")
    dest = folder / "image.raw"
    foretold = pulled(catalog, dest, format="raw", check=True)
    assert foretold["changed"] and not dest.exists()
    estimate = {"fetched_bytes": sum(catalog.packs.values()), "reused_bytes": 0, "resumed_bytes": 0}
    assert foretold["images"][0]["estimate"] == estimate
    first = pulled(catalog, dest, format="raw")
    assert first["changed"] and dest.read_bytes() == bytes_of(disk())
    told = first["images"][0]
    assert (told["digest"], told["disk"], told["mode"]) == (digest, "vda", "0644")
    assert told["job"]["fetched_bytes"] == estimate["fetched_bytes"]
    again = pulled(catalog, dest, format="raw")
    assert not again["changed"] and again["images"][0]["steps"] == []
    assert not pulled(catalog, dest, format="raw", check=True)["changed"]


def test_the_tag_moves(catalog: HandMade, folder: Path) -> None:
    dest = folder / "image.raw"
    catalog.publish({"vda": disk()}, tag="1")
    pulled(catalog, dest, format="raw")
    catalog.publish({"vda": disk(1)}, tag="1")
    foretold = pulled(catalog, dest, format="raw", check=True)
    moved = pulled(catalog, dest, format="raw")
    assert moved["changed"] and dest.read_bytes() == bytes_of(disk(1))
    estimate, job = foretold["images"][0]["estimate"], moved["images"][0]["job"]
    assert (estimate["fetched_bytes"], estimate["reused_bytes"]) == (job["fetched_bytes"], job["reused_bytes"])
    assert job["reused_bytes"] == 19 * BLOCK_SIZE


def test_each_version_has_a_name_of_its_own(catalog: HandMade, folder: Path) -> None:
    digests = [catalog.publish({"vda": disk(seed)}, tag="1") for seed in (1, 2)]
    first = pulled(catalog, folder / "base-{digest}-{tag}.qcow2", f"1@{digests[0]}")
    second = pulled(catalog, folder / "base-{digest}-{tag}.qcow2")
    names = [result["images"][0]["dest"] for result in (first, second)]
    assert names == [str(folder / f"base-{digest[7:23]}-1.qcow2") for digest in digests]
    assert len(held_images()) == 2


def test_a_base_in_use_stays(catalog: HandMade, folder: Path) -> None:
    dest = folder / "base.qcow2"
    catalog.publish({"vda": disk()}, tag="1")
    pulled(catalog, dest)
    qemu_img("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(dest), str(folder / "overlay.qcow2"))
    assert not pulled(catalog, dest)["changed"]
    before = dest.read_bytes()
    catalog.publish({"vda": disk(1)}, tag="1")
    told = refusal(catalog, dest)
    assert "overlay.qcow2 reads it" in told and "NAME-{digest}.qcow2" in told
    assert "overlay.qcow2 reads it" in refusal(catalog, dest, force=True)
    assert dest.read_bytes() == before


def test_what_must_be_signed_is_not_taken_unread(catalog: HandMade, folder: Path) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    signers = {"allowed_signers": "/etc/imageops/signers"}
    told = refusal(catalog, folder / "image", trust_seeds=True, require_signature=signers)
    assert told.startswith("trust_seeds: with require_signature")


def test_an_empty_identity_is_nobody(catalog: HandMade, folder: Path) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    signers = {"allowed_signers": "/etc/hosts", "identity": ""}
    told = refusal(catalog, folder / "image", require_signature=signers)
    assert told.startswith("require_signature: identity: an empty text names nobody")
    assert "is not signed" in refusal(catalog, folder / "image", require_signature={**signers, "identity": None})


def test_a_stranger_stays_unless_it_holds_the_same(catalog: HandMade, folder: Path) -> None:
    dest = folder / "image.raw"
    catalog.publish({"vda": disk()}, tag="1")
    dest.write_bytes(bytes_of(disk(7)))
    assert "is no image that imageops.fleet pulled" in refusal(catalog, dest, format="raw")
    dest.write_bytes(bytes_of(disk()))
    result = pulled(catalog, dest, format="raw")
    assert not result["changed"]
    assert [held.valid for held in held_images()] == [True]
    dest.write_bytes(b"other")
    assert "was written to since it was pulled" in refusal(catalog, dest, format="raw")
    assert pulled(catalog, dest, format="raw", force=True)["changed"]
    assert dest.read_bytes() == bytes_of(disk())


def test_a_copy_of_a_pulled_file_is_known_by_its_content(catalog: HandMade, folder: Path) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    pulled(catalog, folder / "one.qcow2")
    shutil.copy(folder / "one.qcow2", folder / "two.qcow2")
    assert not pulled(catalog, folder / "two.qcow2")["changed"]
    os.truncate(folder / "two.qcow2", 1 << 20)
    assert pull(catalog, folder / "two.qcow2").get("failed")


def test_another_repository_does_not_replace(catalog: HandMade, folder: Path, tmp_path: Path) -> None:
    other = HandMade(tmp_path / "other")
    catalog.publish({"vda": disk()}, tag="1")
    other.publish({"vda": disk(1)}, tag="1")
    pulled(catalog, folder / "image")
    assert f"was pulled from another repository (dir:{catalog.path})" in refusal(other, folder / "image")


def test_deep_verification_finds_what_time_hides(catalog: HandMade, folder: Path) -> None:
    dest = folder / "image.qcow2"
    catalog.publish({"vda": disk()}, tag="1")
    pulled(catalog, dest)
    result = pulled(catalog, dest, verify="deep")
    assert not result["changed"] and result["images"][0]["job"]["verified_bytes"] == 20 * BLOCK_SIZE
    status = dest.stat()
    with dest.open("r+b") as stream:
        stream.seek(-100, os.SEEK_END)
        stream.write(b"rot")
    os.utime(dest, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not pulled(catalog, dest)["changed"]
    assert f"the block at byte {39 * BLOCK_SIZE} of the disk differs" in refusal(catalog, dest, verify="deep")
    assert pulled(catalog, dest, verify="deep", force=True)["changed"]
    assert not pulled(catalog, dest, verify="deep")["changed"]


def test_several_disks(catalog: HandMade, folder: Path) -> None:
    catalog.publish({"vda": disk(), "vdb": disk(1)}, tag="1")
    assert "has several disks (vda, vdb)" in refusal(catalog, folder / "image")
    result = pulled(catalog, f"{folder}/")
    assert [one["dest"] for one in result["images"]] == [str(folder / f"{name}.qcow2") for name in ("vda", "vdb")]
    assert not pulled(catalog, folder)["changed"]
    named = [{"name": "vdb", "dest": str(folder / "data"), "format": "raw"}]
    assert pulled(catalog, "", disks=named)["changed"]
    assert (folder / "data").read_bytes() == bytes_of(disk(1))
    assert "has no disk 'vdc'" in refusal(catalog, folder / "image", disk="vdc")


def test_many_images_in_one_task(catalog: HandMade, folder: Path) -> None:
    for tag in ("1", "2"):
        catalog.publish({"vda": disk(int(tag))}, tag=tag)
    images = [{"image": f"dir:{catalog.path}:{tag}", "dest": str(folder / tag)} for tag in ("1", "2")]
    assert len(run_module("image_pull", {"images": images})["images"]) == 2
    assert not run_module("image_pull", {"images": images})["changed"]
    twice = [{**one, "dest": str(folder / "3")} for one in images]
    assert "given for two items" in run_module("image_pull", {"images": twice})["msg"]


@pytest.mark.parametrize("differs", [{"format": "raw"}, {"mode": "0600"}])
def test_two_names_of_one_image_in_one_task(catalog: HandMade, folder: Path, differs: dict[str, str]) -> None:
    for tag in ("stable", "candidate"):
        catalog.publish({"vda": disk()}, tag=tag)
    dest = str(folder / "d-{digest}.qcow2")
    images = [{"image": f"dir:{catalog.path}:{tag}", "dest": dest} for tag in ("stable", "candidate")]
    foretold = run_module("image_pull", {"images": images}, check=True)
    told = run_module("image_pull", {"images": images})
    for result in (foretold, told):
        assert [each["changed"] for each in result["images"]] == [True, False], result.get("msg")
    for name in ("dest", "image", "digest", "disk", "mode"):
        assert [each[name] for each in foretold["images"]] == [each[name] for each in told["images"]]
    assert len(list(folder.iterdir())) == 1
    for check in (True, False):
        assert not run_module("image_pull", {"images": images}, check=check)["changed"]
    images[1].update(differs)
    assert "given for two items" in run_module("image_pull", {"images": images})["msg"]


@pytest.mark.parametrize("kind", ["raw", "qcow2"])
def test_images_of_any_origin_can_help(catalog: HandMade, folder: Path, kind: str) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    raw, seed = folder / "raw", folder / "seed"
    raw.write_bytes(bytes_of(disk(3)))
    qemu_img("convert", "-f", "raw", "-O", kind, str(raw), str(seed))
    told = pulled(catalog, folder / "image", seeds=[str(seed)])["images"][0]["job"]
    assert told["reused_bytes"] == 19 * BLOCK_SIZE
    assert pulled(catalog, folder / "other", seeds=[])["images"][0]["job"]["reused_bytes"] == 0
    qemu_img("compare", str(folder / "image"), str(folder / "other"))


def test_an_unsafe_seed_is_refused(catalog: HandMade, folder: Path) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/etc/hostname", str(folder / "seed"), "1M")
    assert "seeds: " in refusal(catalog, folder / "image", seeds=[str(folder / "seed")])


def test_owner_and_mode_can_change_later(catalog: HandMade, folder: Path) -> None:
    dest = folder / "image"
    catalog.publish({"vda": disk()}, tag="1")
    pulled(catalog, dest, mode="0600")
    assert not pulled(catalog, dest)["changed"]
    result = pulled(catalog, dest, mode="0640")
    assert result["changed"] and "job" not in result["images"][0]
    assert dest.stat().st_mode & 0o777 == 0o640


def test_a_lost_note_is_written_again(catalog: HandMade, folder: Path) -> None:
    dest = folder / "image"
    catalog.publish({"vda": disk()}, tag="1")
    pulled(catalog, dest)
    forget_held(str(dest))
    assert not pulled(catalog, dest)["changed"]
    assert [held.path for held in held_images()] == [str(dest)]


def test_files_that_are_gone_are_forgotten(catalog: HandMade, folder: Path, state_dir: Path) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    for name in ("one", "two"):
        pulled(catalog, folder / name)
    (folder / "one").unlink()
    pulled(catalog, folder / "three")
    assert [held.path for held in held_images()] == [str(folder / "three"), str(folder / "two")]
    assert len(list((state_dir / "held").iterdir())) == 2


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"dest": "relative"}, "is not an absolute path"),
        ({"dest": ""}, "give either 'dest'"),
        ({"dest": "/nowhere/at/all"}, "the folder /nowhere/at does not exist"),
        ({"connections": 0}, "not between 1 and 32"),
        ({"seeds": ["relative"]}, "nor an absolute path"),
        ({"timeout": -1}, "can't be waited"),
    ],
)
def test_what_can_not_be_is_refused(catalog: HandMade, folder: Path, given: dict[str, Any], told: str) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    assert told in refusal(catalog, given.pop("dest", str(folder / "image")), **given)
    assert not list(folder.iterdir())


def test_an_image_that_is_not_there(catalog: HandMade, folder: Path) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    assert "2" in refusal(catalog, folder / "image", "2")


def test_the_record_survives_what_a_pull_is_asked_next(catalog: HandMade, folder: Path) -> None:
    catalog.publish({"vda": disk()}, tag="1")
    pulled(catalog, folder / "image")
    assert untouched(str(folder / "image"), read_record(str(folder / "image")))


@pytest.mark.parametrize("junk", [[1], "x", 7, {"content": "../../etc"}, {"content": f"sha256:{'0' * 64}", "size": 0}])
def test_a_record_may_say_anything_of_uefi_variables(catalog: HandMade, folder: Path, junk: Any) -> None:
    dest, other = folder / "image.raw", folder / "other.raw"
    catalog.publish({"vda": disk()}, tag="1", variables=b"\xff" * 2000)
    told = pulled(catalog, dest, format="raw")["images"][0]["variables"]
    record = read_record(str(dest))
    assert record is not None and told["size"] == 2000

    def spoil() -> None:
        write_record(str(dest), replace(record, source={**record.source, "variables": junk}))

    # Other pulls go on, and the next one of that file writes its record anew.
    spoil()
    assert pulled(catalog, other, format="raw")["changed"]
    again = pulled(catalog, dest, format="raw")
    assert not again["changed"] and again["images"][0]["variables"] == told
    assert (read_record(str(dest)) or record).source == record.source
    spoil()
    catalog.publish({"vda": disk(1)}, tag="1")
    assert pulled(catalog, dest, format="raw")["images"][0]["variables"] == {}


def test_uefi_variables_come_along(catalog: HandMade, folder: Path, state_dir: Path) -> None:
    def kept() -> list[str]:
        return os.listdir(state_dir / "variables")

    dest, one, two = folder / "image.raw", b"\xff" * 2000 + b"one", b"\xff" * 2000 + b"two"
    catalog.publish({"vda": disk()}, tag="1", variables=one)
    foretold = pulled(catalog, dest, format="raw", check=True)["images"][0]["variables"]
    told = pulled(catalog, dest, format="raw")["images"][0]["variables"]
    assert told == foretold and told["size"] == 2003 and kept() == [told["content"].partition(":")[2]]
    # What was damaged or lost comes again, and what another version with the same disk has.
    (file,) = (state_dir / "variables").iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"?")
    again = pulled(catalog, dest, format="raw")
    assert not again["changed"] and file.read_bytes() == whole
    shutil.rmtree(state_dir / "variables")
    again = pulled(catalog, dest, format="raw")
    assert not again["changed"] and again["images"][0]["variables"] == told and len(kept()) == 1
    catalog.publish({"vda": disk()}, tag="1", variables=two)
    moved = pulled(catalog, dest, format="raw")["images"][0]
    assert moved["variables"]["content"] != told["content"] and len(kept()) == 2
    catalog.publish({"vda": disk(1)}, tag="1")
    assert pulled(catalog, dest, format="raw")["images"][0]["variables"] == {}
