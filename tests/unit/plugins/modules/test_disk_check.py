# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole module with real engines and real jobs, on images that were broken byte by byte."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._records import (
    Record,
    read_record,
    untouched,
    write_record,
)
from ansible_collections.imageops.fleet.plugins.module_utils._transfer import nbd
from ansible_collections.imageops.fleet.tests.unit import run_module

MIB, CLUSTER = 1 << 20, 65536
FORMATS = {
    "raw": [],
    "qcow2": ["-c"],
    "vmdk": [],
    "vpc": ["-o", "force_size=on"],
    "vhdx": [],
    "vdi": [],
}


@pytest.fixture(autouse=True)
def host(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without libvirt, and a state directory of the test's own."""
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "content.raw"
    with path.open("wb") as stream:
        stream.write(os.urandom(3 * MIB))
        stream.seek(9 * MIB)
        stream.write(os.urandom(MIB))
        stream.truncate(16 * MIB)
    return path


def converted(raw: Path, format: str, *options: str) -> Path:
    path = raw.with_name(f"image.{format}")
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", format, *options, str(raw), str(path)], check=True)
    return path


@pytest.fixture
def image(raw: Path) -> Path:
    return converted(raw, "qcow2")


def refcounts(image: Path) -> int:
    """Where the first block of reference counts lies."""
    data = image.read_bytes()
    table = struct.unpack_from(">Q", data, 48)[0]
    return int(struct.unpack_from(">Q", data, table)[0])


def patch(image: Path, offset: int, data: bytes) -> None:
    with image.open("r+b") as stream:
        stream.seek(offset)
        stream.write(data)


def leak(image: Path) -> None:
    """A cluster at the end that is counted and that nothing refers to."""
    number = -(-image.stat().st_size // CLUSTER)
    os.truncate(image, (number + 1) * CLUSTER)
    patch(image, refcounts(image) + 2 * number, b"\0\1")


def damage(image: Path) -> None:
    """A count of nothing for a cluster of guest data."""
    patch(image, refcounts(image) + 2 * 6, b"\0\0")


def flag(image: Path) -> None:
    """The mark of a corrupt image."""
    patch(image, 79, b"\2")


def is_like(image: Path, raw: Path) -> bool:
    command = ["qemu-img", "compare", "-q", "-f", "raw", "-F", "qcow2", str(raw), str(image)]
    return subprocess.run(command, check=False).returncode == 0


def run(path: Path, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_module.run_module("disk_check", {"path": str(path), **options}, check=check)


def left(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "imageops-partial" in path.name]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_the_same_checksum(raw: Path, format: str) -> None:
    path = raw if format == "raw" else converted(raw, format, *FORMATS[format])
    result = run(path, checksum="sha256")["disks"][0]
    assert result["checksum"] == hashlib.sha256(raw.read_bytes()).hexdigest()
    assert result["checkable"] == (format not in ("raw", "vpc")) and result["healthy"]


def test_an_overlay_has_the_checksum_of_the_chain(raw: Path, image: Path) -> None:
    over = raw.with_name("over.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "qcow2", str(over)], check=True)
    assert "not safe" in run(over, checksum="sha256")["msg"]
    found = run(over, checksum="sha256", backing=[str(image)])["disks"][0]["checksum"]
    assert found == hashlib.sha256(raw.read_bytes()).hexdigest()


def test_a_size_that_is_no_whole_sector(tmp_path: Path) -> None:
    (tmp_path / "odd").write_bytes(b"x" * 1000)
    expected = hashlib.sha256(b"x" * 1000 + bytes(24)).hexdigest()
    assert run(tmp_path / "odd", format="raw", checksum="sha256")["disks"][0]["checksum"] == expected


def test_questions_about_one_image_are_all_answered_rightly(raw: Path, image: Path) -> None:
    """Side by side, and remembered apart."""
    other = raw.with_name("other.qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(other), "16M"], check=True)
    questions: list[dict[str, Any]] = [
        {"compare_to": str(other)},
        {"compare_to": str(raw), "compare_format": "raw"},
        {"checksum": "sha256"},
        {"checksum": "sha512"},
    ]
    disks = [{"path": str(image), **question} for question in questions * 2]
    for options in ({}, {"reread": True}, {"check": True}):
        found = ask(disks, **options)
        assert [disk["compare"]["equal"] for disk in found if "compare" in disk] == [False, True] * 2
        for disk in found[2:4] + found[6:]:
            assert disk["checksum"] == hashlib.new(disk["checksum_algorithm"], raw.read_bytes()).hexdigest()


def ask(disks: list[dict[str, Any]], *, check: bool = False, **options: Any) -> list[dict[str, Any]]:
    told = run_module.run_module("disk_check", {"disks": disks, **options}, check=check)
    assert "failed" not in told, told["msg"]
    return list(told["disks"])


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("other", [{"checksum": "sha256"}, {}, {"repair": "leaks"}])
def test_an_image_that_an_item_repairs_belongs_to_no_other(image: Path, other: dict[str, Any], check: bool) -> None:
    leak(image)
    before = image.read_bytes()
    items = [{"path": str(image), "repair": "all"}, {"path": str(image), "fail_on": "never", **other}]
    for disks in (items, items[::-1]):
        told = run_module.run_module("disk_check", {"disks": disks}, check=check)
        assert told["failed"] and f"path: {image} belongs to two items of this task" in told["msg"]
    assert image.read_bytes() == before


def test_what_is_known_is_not_read_again(image: Path) -> None:
    assert run(image, checksum="sha512", check=True)["disks"][0]["checksum"] == "(known after apply)"
    first = run(image, checksum="sha512")
    again = run(image, checksum="sha512")
    assert "job" in first["disks"][0] and "job" not in again["disks"][0]
    assert again["disks"][0]["checksum"] == first["disks"][0]["checksum"]
    assert "job" in run(image, checksum="sha512", reread=True)["disks"][0]
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1", str(image)], check=True, capture_output=True)
    assert run(image, checksum="sha512")["disks"][0]["checksum"] != first["disks"][0]["checksum"]


def test_the_record_remembers_the_checksum(image: Path) -> None:
    write_record(str(image), Record(operation="create", format="qcow2", virtual_size=16 * MIB))
    found = run(image, checksum="blake2b")["disks"][0]["checksum"]
    record = read_record(str(image))
    assert record is not None and record.digest == f"blake2b:{found}" and untouched(str(image), record)
    run(image, checksum="sha256")
    run(image, compare_to=str(image))
    assert "job" not in run(image, checksum="sha256")["disks"][0]


def test_an_unexpected_checksum_fails(image: Path) -> None:
    right = run(image, checksum="sha256")["disks"][0]["checksum"]
    assert not run(image, checksum="sha256", expect=right.upper()).get("failed")
    assert run(image, checksum="sha256", expect="0" * 64)["failed"]


def test_comparison_tells_the_byte(raw: Path, image: Path) -> None:
    assert run(image, compare_to=str(raw), compare_format="raw", require_equal=True)["disks"][0]["compare"]["equal"]
    patch(raw, 9 * MIB + 4711, b"?" if raw.read_bytes()[9 * MIB + 4711] != ord("?") else b"!")
    compared = run(image, compare_to=str(raw), compare_format="raw")["disks"][0]["compare"]
    assert (compared["equal"], compared["first_difference"]) == (False, 9 * MIB + 4711)
    failed = run(image, compare_to=str(raw), compare_format="raw", require_equal=True)
    assert failed["failed"] and str(9 * MIB + 4711) in failed["msg"]


def test_sizes_count_only_when_strict(raw: Path, image: Path) -> None:
    os.truncate(raw, 20 * MIB)
    options = {"compare_to": str(raw), "compare_format": "raw"}
    assert run(image, **options)["disks"][0]["compare"]["equal"]
    assert run(image, **options, strict=True)["disks"][0]["compare"]["first_difference"] == 16 * MIB


@pytest.mark.parametrize(
    ("harm", "fail_on", "fails"),
    [
        (leak, "errors", False),
        (leak, "leaks", True),
        (damage, "errors", True),
        (damage, "never", False),
        (flag, "errors", True),
        (flag, "never", False),
    ],
)
def test_what_fails(image: Path, harm: Any, fail_on: str, fails: bool) -> None:
    harm(image)
    result = run(image, fail_on=fail_on)
    assert result.get("failed", False) == fails and not result["disks"][0]["healthy"] and not result["changed"]


def test_leaks_are_given_back(image: Path, raw: Path) -> None:
    write_record(str(image), Record(operation="create", format="qcow2", virtual_size=16 * MIB))
    leak(image)
    write_record(str(image), read_record(str(image)) or Record("create", "qcow2", 0))
    before = image.read_bytes()
    assert run(image, repair="leaks", check=True)["changed"] and image.read_bytes() == before
    done = run(image, repair="leaks", fail_on="leaks")
    assert done["changed"] and done["disks"][0]["leaks"] == 0 and done["disks"][0]["backup_file"] is None
    assert is_like(image, raw) and untouched(str(image), read_record(str(image)))
    assert not run(image, repair="leaks")["changed"] and left(image.parent) == []


@pytest.mark.parametrize("harm", [damage, flag])
def test_damage_is_mended_and_the_original_kept(image: Path, raw: Path, harm: Any) -> None:
    write_record(str(image), Record(operation="create", format="qcow2", virtual_size=16 * MIB))
    harm(image)
    before = image.read_bytes()
    assert run(image, repair="leaks")["failed"] and image.read_bytes() == before
    done = run(image, repair="all")
    assert done["changed"] and is_like(image, raw)
    assert Path(done["disks"][0]["backup_file"]).read_bytes() == before
    record = read_record(str(image))
    assert record is not None and not untouched(str(image), record)
    assert not run(image, repair="all")["changed"] and left(image.parent) == []


@pytest.mark.parametrize("moment", ["copied", "repaired", "before-backup", "before-publish", "after-publish"])
@pytest.mark.parametrize("how", ["kill", "full"])
def test_a_repair_that_dies(image: Path, raw: Path, monkeypatch: pytest.MonkeyPatch, moment: str, how: str) -> None:
    damage(image)
    before = image.read_bytes()
    monkeypatch.setenv("IMAGEOPS_FAULT", f"repair:{moment}:{how}")
    assert run(image, repair="all")["failed"]
    assert how == "kill" or left(image.parent) == []
    assert image.read_bytes() == before or is_like(image, raw)
    monkeypatch.delenv("IMAGEOPS_FAULT")
    assert not run(image, repair="all").get("failed")
    assert is_like(image, raw) and left(image.parent) == []
    assert [path.read_bytes() for path in image.parent.glob("image.qcow2.*~")] == [before]


def test_a_reading_that_dies(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEOPS_FAULT", "read:before-verify:kill")
    assert "died" in run(image, checksum="sha256")["msg"]
    monkeypatch.delenv("IMAGEOPS_FAULT")
    assert "job" in run(image, checksum="sha256")["disks"][0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"expect": "00"}, "names no algorithm"),
        ({"checksum": "sha256", "expect": "xyz"}, "is no sha256 checksum"),
        ({"strict": True}, "names nothing to compare"),
        ({"backup": True}, "give 'repair' too"),
        ({"repair": "all", "checksum": "sha256"}, "can't be combined"),
        ({"format": "vmdk"}, "declared as vmdk"),
        ({"compare_to": "relative"}, "not an absolute path"),
        ({"compare_to": "/nowhere"}, "does not exist"),
    ],
)
def test_refused_options(image: Path, options: dict[str, Any], says: str) -> None:
    result = run(image, **options)
    assert result["failed"] and says in result["msg"]


def test_damage_under_a_checksum_is_refused(image: Path) -> None:
    flag(image)
    assert "marked corrupt" in run(image, checksum="sha256")["msg"]


def test_a_hostile_image_meets_no_engine(image: Path, tmp_path: Path) -> None:
    """A backing file that nobody declared, in an image that is damaged besides."""
    subprocess.run(
        ["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", str(image)], check=True
    )
    os.truncate(image, 8 * CLUSTER)
    assert "not safe" in run(image, repair="all")["msg"]


@pytest.mark.parametrize("options", [{"checksum": "sha256"}, {"compare_to": "{raw}"}])
def test_without_libnbd_nothing_is_started(
    image: Path, raw: Path, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    nbd.library.cache_clear()
    monkeypatch.setitem(sys.modules, "nbd", None)
    result = run(image, check=True, **{key: value.format(raw=raw) for key, value in options.items()})
    assert "python3-libnbd" in result["msg"]
    # A raw file's bytes are the guest's.
    assert "failed" not in run(raw, checksum="sha256")
