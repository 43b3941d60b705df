# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InvalidOption,
    NotFound,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_export, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._portable.presets import PRESETS
from ansible_collections.imageops.fleet.tests.unit.export_params import params_of


@pytest.fixture(autouse=True)
def no_libvirt(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "src"
    path.write_bytes(b"\1" * 65536)
    return path


def dest_of(folder: Path, preset: str) -> Path:
    return folder / f"web{(PRESETS[preset].suffixes or ('',))[0]}"


def plan(tmp_path: Path, source: Path, preset: str, **given: Any) -> Any:
    return image_export.plan_export(params_of(dest_of(tmp_path, preset), preset, source, **given), Tools())


@pytest.mark.parametrize("preset", PRESETS)
def test_planning_writes_nothing_and_tells_all(tmp_path: Path, source: Path, state_dir: Path, preset: str) -> None:
    found = plan(tmp_path, source, preset, machine={"firmware": "uefi", "networks": ["lan"], "nic_model": "virtio"})
    dest = dest_of(tmp_path, preset)
    assert found.changed and found.before == {}
    assert [step.title for step in found.steps] == [f"export {source} to {dest} for {preset}"]
    assert found.after["files"] == "(known after apply)"
    assert found.after["name"] == "web"
    assert found.after["disks"][0]["size"] == -(-65536 // PRESETS[preset].align) * PRESETS[preset].align
    assert bool(found.after["machine"]) == PRESETS[preset].describes
    assert bool(found.after["left_out"]) == PRESETS[preset].describes
    assert all(sentence.endswith(".") for sentence in (*found.after["left_out"], *found.after["altered"]))
    assert sorted(os.listdir(tmp_path)) == ["src"] or not state_dir.exists()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("firmware", ["bios", "uefi"])
@pytest.mark.parametrize("tpm", [False, True])
def test_what_the_host_keeps_for_a_vm_is_told(
    tmp_path: Path, source: Path, preset: str, firmware: str, tpm: bool
) -> None:
    """UEFI's variables and a TPM's state go along to no platform, also to those that give the machine a TPM."""
    request = read_request(params_of(dest_of(tmp_path, preset), preset, source), Tools())
    machine = replace(request.machine, firmware=firmware, tpm=tpm)
    told = image_export.facts_of(replace(request, machine=machine, vm="web"))["left_out"]
    assert any(sentence.startswith("The UEFI variables") for sentence in told) == (firmware == "uefi")
    assert any(sentence.startswith("The TPM's state") for sentence in told) == tpm


def test_what_is_left_of_another_is_told(tmp_path: Path, source: Path) -> None:
    Path(partial_path(str(tmp_path / "web.ova"))).touch()
    assert plan(tmp_path, source, "ova").steps[0].title.endswith("(an unfinished one is thrown away)")


@pytest.mark.parametrize(
    ("preset", "given", "error", "says"),
    [
        ("ova", {"dest": "web.ova"}, InvalidOption, "dest: 'web.ova' is not an absolute path"),
        ("ova", {"dest": "/none/web.ova"}, NotFound, "dest: the folder /none does not exist"),
        ("ova", {"preset": None}, InvalidOption, "preset: nothing says which platform"),
        ("ova", {"disks": None}, InvalidOption, "disks: say what .* is made from"),
        ("ova", {"vm": "web"}, InvalidOption, "disks: say what .* is made from"),
        ("ova", {"hardware_version": 6}, InvalidOption, "hardware_version: 6 is none of VMware's"),
        (
            "ova",
            {"hardware_version": 7, "machine": {"firmware": "uefi"}},
            InvalidOption,
            "hardware_version: .*UEFI needs version 8",
        ),
        ("ova", {"machine": {"vcpus": 0}}, InvalidOption, "machine: 0 CPUs"),
        ("ova", {"machine": {"memory": "many"}}, InvalidOption, "machine.memory: 'many' is not a size"),
        ("ova", {"machine": {"secure_boot": True}}, InvalidOption, "machine: secure_boot is a part of UEFI"),
        ("ova", {"certificate": "/x"}, InvalidOption, "certificate: signing takes both"),
        ("ova", {"certificate": "/x", "private_key": "/y"}, InvalidOption, "certificate: there is no file /x"),
        ("gcp", {"certificate": "/x", "private_key": "/y"}, InvalidOption, "certificate: .* has no manifest"),
        ("azure", {"disk_format": "vhdx"}, InvalidOption, "disk_format: disks in .* are vhd"),
        ("openstack", {"disk_format": "vmdk"}, InvalidOption, "disk_format: disks in .* are qcow2 or raw"),
        ("ova", {"timeout": -1}, InvalidOption, "timeout: -1 seconds"),
        ("ova", {"bandwidth": "fast"}, InvalidOption, "bandwidth: 'fast' is not a size"),
        ("ova", {"mode": "rw"}, InvalidOption, "mode: 'rw' is not a mode"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, source: Path, preset: str, given: dict[str, Any], error: type[ImageOpsError], says: str
) -> None:
    params = {**params_of(dest_of(tmp_path, preset), preset, source), **given}
    with pytest.raises(error, match=f"^{says}"):
        image_export.plan_export(params, Tools())


@pytest.mark.parametrize("preset", [name for name, preset in PRESETS.items() if preset.most_disks == 1])
def test_one_disk_only(tmp_path: Path, source: Path, preset: str) -> None:
    params = params_of(dest_of(tmp_path, preset), preset, source, source)
    with pytest.raises(InvalidOption, match="has one disk, and 2 are given"):
        image_export.plan_export(params, Tools())


@pytest.mark.parametrize("preset", ["ova", "azure"])
def test_a_disk_that_the_platform_does_not_take(tmp_path: Path, source: Path, preset: str) -> None:
    os.truncate(source, 3 << 40)
    with pytest.raises(Unsupported, match="has 3 TiB, and a disk for .* at most; choose another preset"):
        plan(tmp_path, source, preset)


@pytest.mark.parametrize("suffix", [".vmdk", "", ".tar", ".gz"])
def test_a_name_that_the_platform_does_not_take(tmp_path: Path, source: Path, suffix: str) -> None:
    with pytest.raises(InvalidOption, match=r"ends with \.tar\.gz, and"):
        image_export.plan_export(params_of(tmp_path / f"web{suffix}", "gcp", source), Tools())


def test_strangers_are_not_replaced(tmp_path: Path, source: Path) -> None:
    (tmp_path / "web.ova").write_bytes(b"mine")
    with pytest.raises(Conflict, match="was not made by an export"):
        plan(tmp_path, source, "ova")
    assert plan(tmp_path, source, "ova", force=True).changed
    (tmp_path / "web").mkdir()
    assert plan(tmp_path, source, "vmware").changed
    (tmp_path / "web/file").write_bytes(b"mine")
    for force in (False, True):
        with pytest.raises(Conflict, match="or holds other files too"):
            plan(tmp_path, source, "vmware", force=force)


def test_a_file_is_no_folder(tmp_path: Path, source: Path) -> None:
    (tmp_path / "web").write_bytes(b"mine")
    (tmp_path / "web.ova").mkdir()
    with pytest.raises(Conflict, match="is not a folder"):
        plan(tmp_path, source, "vmware")
    with pytest.raises(Conflict, match="is not a file"):
        plan(tmp_path, source, "ova")


def test_the_source_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "web.raw"
    path.write_bytes(b"\1" * 65536)
    with pytest.raises((InvalidOption, Conflict), match="dest: "):
        image_export.plan_export(params_of(path, "aws", path), Tools())
    inside = tmp_path / "web"
    inside.mkdir()
    path = path.rename(inside / "disk")
    with pytest.raises(InvalidOption, match="is, or holds, a disk that is exported"):
        image_export.plan_export(params_of(inside, "vmware", path), Tools())


def test_two_items_with_one_destination(tmp_path: Path, source: Path) -> None:
    tools = Tools()
    params = params_of(tmp_path / "web.ova", "ova", source)
    image_export.plan_export(params, tools)
    with pytest.raises(InvalidOption, match="two items of this task"):
        image_export.plan_export(params, tools)


def test_the_format_is_that_of_the_name_that_is_written(tmp_path: Path, source: Path) -> None:
    for name in ("latest", "latest.vhd"):
        (tmp_path / name).symlink_to("web.vhdx")
        found = image_export.plan_export(params_of(tmp_path / name, "hyperv", source), Tools())
        assert (found.after["dest"], found.after["disk_format"]) == (str(tmp_path / "web.vhdx"), "vhdx")


def test_many_disks_have_names_of_their_own(tmp_path: Path) -> None:
    disks = [tmp_path / f"src{number}" for number in range(28)]
    for disk in disks:
        disk.write_bytes(b"\1" * 65536)
    found = image_export.plan_export(params_of(tmp_path / "web.ova", "ova", *disks), Tools())
    assert [disk["name"] for disk in found.after["disks"]][25:] == ["vdz", "vdaa", "vdab"]


def test_ide_has_room_for_four_disks(tmp_path: Path, source: Path) -> None:
    for count, option in ((4, {"adapter": "ide"}), (5, {"adapter": "ide"}), (5, {"machine": {"bus": "ide"}})):
        params = params_of(tmp_path / "web.ova", "ova", *[source] * count, **option)
        if count == 4:
            assert image_export.plan_export(params, Tools()).changed
            continue
        with pytest.raises(InvalidOption, match="^adapter: 5 disks are on IDE"):
            image_export.plan_export(params, Tools())
