# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole module with a real qemu-img and a real job, and what is left when it is killed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._records import (
    Record,
    read_record,
    untouched,
    write_record,
)
from ansible_collections.imageops.fleet.tests.unit import run_module

MIB = 1 << 20


@pytest.fixture(autouse=True)
def host(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without libvirt, and a state directory of the test's own."""
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a, comma.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "8M"], check=True)
    write(path, 1)
    return path


def write(image: Path, pattern: int, *, offset: int = 0) -> None:
    command = f"write -P {pattern} {offset} 1M"
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(image)], check=True, capture_output=True)


def holds(image: Path, pattern: int) -> bool:
    command = f"read -P {pattern} 0 1M"
    done = subprocess.run(["qemu-io", "-f", "qcow2", "-c", command, str(image)], check=True, capture_output=True)
    return b"verification failed" not in done.stdout


def names(image: Path) -> list[str]:
    listed = subprocess.run(["qemu-img", "snapshot", "-l", str(image)], check=True, capture_output=True, text=True)
    return [line.split()[1] for line in listed.stdout.splitlines()[2:]]


def is_sound(image: Path) -> bool:
    return subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", str(image)], check=False).returncode == 0


def run(image: Path, *, check: bool = False, **options: Any) -> dict[str, Any]:
    return run_module.run_module("disk_snapshot", {"path": str(image), **options}, check=check)


def test_made_once(image: Path) -> None:
    foretold = run(image, name="one", check=True)
    assert foretold["changed"] and names(image) == []
    made = run(image, name="one")
    assert made["changed"] and names(image) == ["one"]
    assert made["disks"][0]["snapshots"][0]["disk_size"] == 8 * MIB
    assert made["disks"][0]["current"] == "one"
    assert not run(image, name="one")["changed"]


@pytest.mark.parametrize("check", [True, False])
def test_one_image_for_two_items_is_refused(image: Path, check: bool) -> None:
    disks = [{"path": str(image), "name": name} for name in ("aa", "bb")]
    told = run_module.run_module("disk_snapshot", {"disks": disks}, check=check)
    assert told["failed"] and not told["changed"] and names(image) == []
    assert told["msg"] == (
        f"path: {image} belongs to two items of this task, and one of them changes it; make them two tasks, one after the other."
    )


def test_reverted_only_after_a_write(image: Path) -> None:
    run(image, name="one")
    assert not run(image, name="one", state="reverted")["changed"]
    write(image, 2)
    assert run(image, name="one", state="reverted", check=True)["changed"] and holds(image, 2)
    assert run(image, name="one", state="reverted")["disks"][0]["job"]["method"] == "in place"
    assert holds(image, 1) and is_sound(image)
    assert not run(image, name="one", state="reverted")["changed"]


def test_another_size_comes_back_by_a_copy(image: Path) -> None:
    run(image, name="one")
    subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", str(image), "16M"], check=True)
    image.chmod(0o604)
    done = run(image, name="one", state="reverted")
    assert done["disks"][0]["job"]["method"] in ("copy", "reflink")
    assert done["disks"][0]["virtual_size"] == 8 * MIB
    assert image.stat().st_mode & 0o777 == 0o604
    assert [path.name for path in image.parent.iterdir() if "partial" in path.name] == []


def test_the_oldest_go(image: Path) -> None:
    for name in ("other", "day-1", "day-2"):
        run(image, name=name)
    assert run(image, name="day-3", keep=2, prefix="day-")["changed"]
    assert names(image) == ["other", "day-2", "day-3"]
    assert not run(image, name="day-3", keep=2, prefix="day-")["changed"]
    run(image, keep=0)
    assert names(image) == []


def test_all_of_a_name_are_deleted(image: Path) -> None:
    for _turn in range(2):
        subprocess.run(["qemu-img", "snapshot", "-c", "twice", str(image)], check=True)
    assert "unknown which one" in run(image, name="twice", state="reverted")["msg"]
    assert run(image, name="twice", state="absent")["changed"]
    assert names(image) == [] and not run(image, name="twice", state="absent")["changed"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "12"}, "only digits"),
        ({"name": ""}, "can't be a snapshot's name"),
        ({"name": "x" * 256}, "can't be a snapshot's name"),
        ({}, "nothing is given"),
        ({"name": "a", "keep": 0}, "use 1 or more"),
        ({"keep": -1}, "use 0 or more"),
        ({"name": "a", "prefix": "b"}, "give 'keep' too"),
        ({"name": "a", "state": "absent", "keep": 1}, "no meaning"),
        ({"name": "a", "state": "reverted"}, "no snapshot 'a'"),
        ({"name": "a", "timeout": -1}, "timeout"),
    ],
)
def test_refused_options(image: Path, options: dict[str, Any], says: str) -> None:
    result = run(image, **options)
    assert result["failed"] and says in result["msg"] and names(image) == []


def test_other_formats_are_refused(tmp_path: Path) -> None:
    (tmp_path / "raw").write_bytes(bytes(MIB))
    assert "raw is no qcow2 image, and only those hold snapshots" in run(tmp_path / "raw", name="a")["msg"]


def test_no_revert_under_an_overlay(image: Path) -> None:
    run(image, name="one")
    write(image, 2)
    over = ["-b", str(image), "-F", "qcow2", str(image.parent / "over.qcow2")]
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *over], check=True)
    assert "reads it as its backing file" in run(image, name="one", state="reverted")["msg"]
    assert run(image, name="two")["changed"]


def test_the_record_stays_true(image: Path) -> None:
    write_record(str(image), Record(operation="create", format="qcow2", virtual_size=8 * MIB))
    run(image, name="one")
    assert untouched(str(image), read_record(str(image)))
    write(image, 2)
    run(image, name="one", state="reverted")
    record = read_record(str(image))
    assert record is not None and not untouched(str(image), record)


@pytest.mark.parametrize(
    "moment",
    ["marked", "before-create", "after-create", "before-record", "before-unmark", "before-delete", "after-delete"],
)
def test_killed_at_each_moment(image: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    run(image, name="old")
    monkeypatch.setenv("IMAGEOPS_FAULT", f"snapshot:{moment}:kill")
    assert "died" in run(image, name="new", keep=1)["msg"]
    assert holds(image, 1) and set(names(image)) <= {"old", "new"}
    monkeypatch.delenv("IMAGEOPS_FAULT")
    assert not run(image, name="new", keep=1).get("failed")
    assert names(image) == ["new"] and holds(image, 1) and is_sound(image)
    assert not run(image, name="new", keep=1)["changed"]
    assert {path.name for path in image.parent.iterdir()} == {image.name, "state"}


@pytest.mark.parametrize("moment", ["copied", "after-revert", "before-publish"])
@pytest.mark.parametrize("how", ["kill", "full"])
def test_a_copy_that_dies_leaves_the_old_image(
    image: Path, monkeypatch: pytest.MonkeyPatch, moment: str, how: str
) -> None:
    run(image, name="old")
    subprocess.run(["qemu-img", "resize", "-q", "-f", "qcow2", str(image), "16M"], check=True)
    write(image, 2)
    before = image.read_bytes()
    monkeypatch.setenv("IMAGEOPS_FAULT", f"snapshot:{moment}:{how}")
    assert run(image, name="old", state="reverted")["failed"]
    assert image.read_bytes() == before
    monkeypatch.delenv("IMAGEOPS_FAULT")
    assert run(image, name="old", state="reverted")["changed"] and holds(image, 1)
    assert {path.name for path in image.parent.iterdir()} == {image.name, "state"}


def test_a_disk_of_a_vm_with_snapshots_is_libvirts(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user = usage.User(usage.DOMAIN, "web", "it is a disk of the stopped domain web", top=True)
    monkeypatch.setattr(usage, "users_of", lambda *_args, **_kwargs: [user])
    monkeypatch.setattr(usage, "keeps_snapshots", lambda *_args: False)
    assert run(image, name="one")["changed"]
    monkeypatch.setattr(usage, "keeps_snapshots", lambda *_args: True)
    assert "imageops.fleet.vm_snapshot" in run(image, name="two")["msg"]
