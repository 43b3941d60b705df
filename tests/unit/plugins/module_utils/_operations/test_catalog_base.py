# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _files
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, InUse, InvalidOption, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    base_files,
    catalog_base,
    image_pull,
    image_pull_job,
    usage_domains,
    vm_define,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.catalog_wanted import ACCESS
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull_items import expand
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm import plan_vm
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan, Step
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit.catalog_images import Disk, HandMade

GIVEN: dict[str, Any] = {
    "state": "present", "uri": "test:///default", "shutdown_timeout": 0, "force_stop": True, "remove_disks": False, "memory": "64MiB",
    "url_username": None, "url_password": None, "ca_path": None, "validate_certs": True, "plain_http": False, "idle_timeout": 60,
    "mirrors": [], "require_signature": None,
}  # fmt: skip


def disk(seed: int) -> Disk:
    return 64 * BLOCK_SIZE, {number: random.Random(number * seed).randbytes(BLOCK_SIZE) for number in range(8)}


@pytest.fixture
def catalog(tmp_path: Path) -> HandMade:
    made = HandMade(tmp_path / "debian")
    made.publish({"vda": disk(1)}, tag="12")
    return made


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Tools]:
    monkeypatch.setenv(_files.STATE_VARIABLE, str(tmp_path / "state"))
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    monkeypatch.setattr(vm_define, "default_folder", lambda connection: str(tmp_path))
    monkeypatch.setattr(image_pull, "job_step", at_once)
    found = Tools(version="1")
    yield found
    for domain in found.hypervisor("test:///default").domains():
        if domain.name != "test":
            domain.undefine()
    found.close()


def at_once(title: str, job: Any, tools: Tools, *, params: dict[str, Any], info: dict[str, Any]) -> Step:
    """The job's work, in this process."""

    def work() -> None:
        info["job"] = image_pull_job.pull(job.params, Progress(JobState("pull-1", "pull", ""), Clock()), -1)

    return Step(title, work)


def plan(tools: Tools, image: str, *, name: str = "web", task: bool = False, **given: Any) -> Plan:
    if not task:
        tools.forecast.clear()
    item = {**GIVEN, "name": name, "disks": [{"image": image, **given.pop("disk", {})}], **given}
    return plan_vm(item, tools)


def carry_out(planned: Plan) -> list[str]:
    for step in planned.steps:
        step.run()
    return [step.title for step in planned.steps]


def test_what_is_not_here_is_pulled_first(catalog: HandMade, tools: Tools, tmp_path: Path) -> None:
    image = f"dir:{catalog.path}:12"
    planned = plan(tools, image)
    assert planned.after["disks"]["vda"]["image"] == image
    pulled, made, _defined = carry_out(planned)
    digest = catalog.store.tags()["12"]
    base = tmp_path / f"debian-{digest[7:23]}.qcow2"
    assert (pulled, made) == (
        f"pull {image} to {base}",
        f"make the disk {tmp_path}/web-vda.qcow2 as an overlay on {base}",
    )
    record = read_record(str(tmp_path / "web-vda.qcow2"))
    assert record is not None and record.options["backing"] == str(base)
    assert {name: record.source[name] for name in ("reference", "manifest", "disk", "path")} == {
        "reference": image, "manifest": digest, "disk": "vda", "path": str(base),
    }  # fmt: skip
    assert not plan(tools, image).changed


def test_what_is_here_is_taken_without_the_catalog(catalog: HandMade, tools: Tools) -> None:
    image = f"dir:{catalog.path}:12"
    carry_out(plan(tools, image))
    digest = catalog.store.tags()["12"]
    shutil.rmtree(catalog.path)
    for number, text in enumerate((image, f"{image}@{digest}", f"reg.example/debian@{digest}")):
        assert [title.split()[0] for title in carry_out(plan(tools, text, name=f"web-{number}"))] == ["make", "define"]


def test_a_tag_that_moved_changes_nothing(catalog: HandMade, tools: Tools) -> None:
    image = f"dir:{catalog.path}:12"
    carry_out(plan(tools, image))
    old = catalog.store.tags()["12"]
    catalog.publish({"vda": disk(2)}, tag="12")
    assert not plan(tools, image).changed
    assert not plan(tools, f"{image}@{old}").changed


@pytest.mark.parametrize("other", ["13", f"12@sha256:{'0' * 64}"])
def test_another_image_for_a_disk_that_is_there(catalog: HandMade, tools: Tools, other: str) -> None:
    carry_out(plan(tools, f"dir:{catalog.path}:12"))
    with pytest.raises(Conflict, match=r"disks\[0\].image: .* was made from dir:.*:12 \(sha256:"):
        plan(tools, f"dir:{catalog.path}:{other}")


def test_machines_of_one_task_share_one_pull(catalog: HandMade, tools: Tools) -> None:
    image = f"dir:{catalog.path}:12"
    plans = [plan(tools, image, name=name, task=True) for name in ("web-1", "web-2")]
    assert [carry_out(planned)[0].split()[0] for planned in plans] == ["pull", "pull"]
    assert len(list(catalog.path.parent.glob("debian-*.qcow2"))) == 1


@pytest.mark.parametrize("local", [False, True])
def test_a_base_is_not_replaced_while_disks_are_made_from_it(
    catalog: HandMade, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    monkeypatch.setattr(base_files, "_KEEP_SECONDS", 0.0)
    monkeypatch.setattr(base_files, "_ALONE_SECONDS", 0.0)
    image = f"dir:{catalog.path}:12"
    carry_out(plan(tools, image, name="other"))
    (base,) = tmp_path.glob("debian-*.qcow2")
    with pytest.raises(InUse, match="disks are being made from it"), base_files.alone(str(base), tools.clock):
        pass
    tools.bases.close()
    image = str(base) if local else image
    with base_files.alone(str(base), tools.clock), pytest.raises(InUse, match="is being replaced"):
        plan(tools, image)
    tools.bases.close()
    plan(tools, image)
    with pytest.raises(InUse), base_files.alone(str(base), tools.clock):
        pass


def pull(catalog: HandMade, tag: str, dest: Path) -> None:
    """What image_pull does in a task of its own."""
    access = {name: GIVEN[name] for name in ACCESS}
    item = {
        **catalog_base._PULL,
        **access,
        "image": f"dir:{catalog.path}:{tag}",
        "dest": str(dest),
        "disk": None,
        "format": "qcow2",
    }
    (one,) = expand(item, Tools())
    with contextlib.closing(Tools(version="1")) as own:
        for step in image_pull.plan_pull(one, own).steps:
            step.run()


@pytest.fixture
def base(catalog: HandMade, tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of version 12; there is another version of the image, which may be pulled to that name too."""
    monkeypatch.setattr(base_files, "_ALONE_SECONDS", 0.0)
    found = tmp_path / f"debian-{catalog.store.tags()['12'][7:23]}.qcow2"
    pull(catalog, "12", found)
    catalog.publish({"vda": disk(2)}, tag="13")
    return found


def test_a_base_that_was_replaced_just_before_is_pulled_again(
    catalog: HandMade, tools: Tools, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task must not wait for a pull that waits for that task."""
    keep = tools.bases.keep

    def late(path: str) -> bool:
        monkeypatch.setattr(tools.bases, "keep", keep)
        pull(catalog, "13", base)
        return keep(path)

    monkeypatch.setattr(tools.bases, "keep", late)
    titles = carry_out(plan(tools, f"dir:{catalog.path}:12"))
    assert [title.split(" ")[0] for title in titles] == ["pull", "make", "define"]
    record = read_record(str(base))
    assert record is not None and record.source["manifest"] == catalog.store.tags()["12"]


def test_a_task_does_not_replace_what_it_makes_disks_from(catalog: HandMade, tools: Tools, base: Path) -> None:
    pull(catalog, "13", base)
    plan(tools, str(base), name="one", task=True)
    other = plan(tools, f"dir:{catalog.path}:12", name="two", task=True)
    with pytest.raises(InUse, match="this task makes disks from the file that is there"):
        carry_out(other)


def test_a_full_copy(catalog: HandMade, tools: Tools, tmp_path: Path) -> None:
    carry_out(plan(tools, f"dir:{catalog.path}:12", disk={"copy": "full", "format": "raw", "image_format": "raw"}))
    assert len(list(tmp_path.glob("debian-*.raw"))) == 1
    assert (tmp_path / "web-vda.raw").read_bytes()[: 8 * BLOCK_SIZE] == b"".join(disk(1)[1].values())


@pytest.mark.parametrize("held", [False, True])
def test_an_image_that_nobody_signed(catalog: HandMade, tools: Tools, tmp_path: Path, held: bool) -> None:
    image = f"dir:{catalog.path}:12"
    if held:
        carry_out(plan(tools, image, name="other"))
    signers = tmp_path / "signers"
    signers.touch()
    with pytest.raises(UnsafeImage, match="is not signed"):
        plan(tools, image, require_signature={"allowed_signers": str(signers)})


def test_a_base_that_another_machine_writes_to(catalog: HandMade, tools: Tools, tmp_path: Path) -> None:
    image = f"dir:{catalog.path}:12"
    carry_out(plan(tools, image, name="other"))
    (base,) = tmp_path.glob("debian-*.qcow2")
    plan(tools, image, name="web-1", task=True)
    with pytest.raises(InUse):
        plan_vm({**GIVEN, "name": "web-2", "disks": [{"path": str(base)}]}, tools)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": "images/debian.qcow2"}, "A file is named by its absolute path."),
        (
            {"image": "reg.example/debian", "image_format": "vmdk"},
            "image_format: images of catalogs are pulled as raw or qcow2",
        ),
        (
            {"image": "/images/debian.qcow2", "image_disk": "vda"},
            "image_disk: it names a disk of an image in a catalog",
        ),
    ],
)
def test_refusals(tools: Tools, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        plan_vm({**GIVEN, "name": "web", "disks": [given]}, tools)
