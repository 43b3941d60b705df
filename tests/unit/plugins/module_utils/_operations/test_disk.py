# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _files
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    EngineError,
    ImageOpsError,
    InUse,
    InvalidOption,
    NoSpace,
    NotFound,
    UnsafeImage,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._locks import held
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk import locks, plan_disk
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.usage import User
from ansible_collections.imageops.fleet.plugins.module_utils._plan import KNOWN_AFTER, Plan
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record, untouched

MIB = 1 << 20
DEFAULTS: dict[str, Any] = {
    "state": "present", "format": "qcow2", "size": None, "options": None, "backing": None, "allow_shrink": False,
    "force": False, "search_paths": None, "owner": None, "group": None, "mode": None,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))


def item(path: Path | str, **given: Any) -> dict[str, Any]:
    return {**DEFAULTS, "path": str(path), **given}


def below(path: Path | str, format: str | None = None, chain: list[str] | None = None) -> dict[str, Any]:
    return {"path": str(path), "format": format, "chain": chain}


def plan(path: Path | str, **given: Any) -> Plan:
    return plan_disk(item(path, **given), Tools(version="1"))


def carry_out(planned: Plan) -> dict[str, Any]:
    """What the runner does with a plan."""
    for step in planned.steps:
        step.run()
    return planned.observe()


def apply(path: Path | str, **given: Any) -> dict[str, Any]:
    """Plan, apply, and make sure that a second run changes nothing and tells the same."""
    planned = plan(path, **given)
    found = carry_out(planned)
    assert {key for key in found if planned.after[key] not in (found[key], KNOWN_AFTER)} - {"options"} == set()
    again = plan(path, **given)
    assert (again.changed, again.after) == (False, found)
    return found


def info(path: Path | str, driver: str) -> dict[str, Any]:
    argv = ["qemu-img", "info", "-f", driver, "--output=json", str(path)]
    return dict(json.loads(subprocess.check_output(argv)))


def seen(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("format", "driver", "options"),
    [
        ("raw", "raw", {}),
        ("raw", "raw", {"preallocation": "full"}),
        ("qcow2", "qcow2", {}),
        ("qcow2", "qcow2", {"cluster_size": "2M", "compression_type": "zstd", "preallocation": "metadata"}),
        ("vmdk", "vmdk", {"adapter_type": "lsilogic"}),
        ("vhd", "vpc", {"subformat": "fixed"}),
        ("vpc", "vpc", {}),
        ("vhdx", "vhdx", {}),
        ("vhdx", "vhdx", {"subformat": "fixed", "block_size": "1M"}),
        ("vdi", "vdi", {"static": True}),
    ],
)
def test_every_format_is_made_once(tmp_path: Path, format: str, driver: str, options: dict[str, Any]) -> None:
    found = apply(tmp_path / "x", format=format, size="8M", options=options)
    assert (found["virtual_size"], info(tmp_path / "x", driver)["virtual-size"]) == (8 * MIB, 8 * MIB)
    assert found["format"] == ("vhd" if format == "vpc" else format)
    assert (found["mode"], found["backing"], seen(tmp_path)) == ("0640", None, ["x"])
    record = read_record(str(tmp_path / "x"))
    assert record is not None and untouched(str(tmp_path / "x"), record)
    assert (record.operation, record.virtual_size, record.tool) == ("create", 8 * MIB, "imageops.fleet 1")


@pytest.mark.parametrize(("rule", "size"), [("exact", 10485760), ("mib", 10485760), ("chs", 10514432)])
def test_a_rounded_size_stays(tmp_path: Path, rule: str, size: int) -> None:
    found = apply(tmp_path / "x", format="vhd", size=10 * MIB - 5, options={"size_rule": rule})
    assert found["virtual_size"] == size


def test_planning_writes_nothing(tmp_path: Path) -> None:
    before = plan(tmp_path / "x", size="1G")
    assert (before.before["state"], before.after["state"], before.after["allocated_size"]) == (
        "absent",
        "present",
        KNOWN_AFTER,
    )
    assert [step.title for step in before.steps] == [f"create {tmp_path}/x (qcow2, 1 GiB)"]
    assert seen(tmp_path) == []


def test_what_a_killed_run_left_is_tidied(tmp_path: Path) -> None:
    leftover = partial_path(str(tmp_path / "x"))
    Path(leftover).write_bytes(b"half")
    assert plan(tmp_path / "x", size="1M").steps[0].title == f"remove the unfinished file {leftover}"
    apply(tmp_path / "x", size="1M")
    assert seen(tmp_path) == ["x"]
    Path(leftover).write_bytes(b"half")
    assert carry_out(plan(tmp_path / "x", state="absent"))["state"] == "absent"
    assert seen(tmp_path) == []


def test_a_failed_creation_leaves_nothing(tmp_path: Path) -> None:
    def broken(argv: list[str], **kwargs: Any) -> Any:
        return subprocess.CompletedProcess(argv, 1, "", "qemu-img: it broke\n")

    with pytest.raises(EngineError, match="it broke"):
        carry_out(plan_disk(item(tmp_path / "x", size="1M"), Tools(commands=Commands(broken))))
    assert seen(tmp_path) == []


def test_the_same_argument_list_each_time(tmp_path: Path) -> None:
    argv: list[list[str]] = []
    run: Any = functools.partial(subprocess.run, check=False)

    def recorded(command: list[str], **kwargs: Any) -> Any:
        argv.append(command)
        return run(command, **kwargs)

    tools = Tools(commands=Commands(recorded))
    carry_out(plan_disk(item(tmp_path / "x", format="vhd", size=MIB, options={"subformat": "fixed"}), tools))
    hidden = partial_path(str(tmp_path / "x"))
    options = ["-o", "subformat=fixed,force_size=on"]
    assert argv == [["qemu-img", "create", "-q", "-f", "vpc", *options, hidden, str(MIB)]]


@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_growing_and_shrinking(tmp_path: Path, format: str) -> None:
    apply(tmp_path / "x", format=format, size="4M")
    assert apply(tmp_path / "x", format=format, size="8M")["virtual_size"] == 8 * MIB
    assert untouched(str(tmp_path / "x"), read_record(str(tmp_path / "x")))
    with pytest.raises(Conflict, match=r"8 MiB \(8388608 bytes\), declared is 2 MiB .*allow_shrink: true"):
        plan(tmp_path / "x", format=format, size="2M")
    assert apply(tmp_path / "x", format=format, size="2M", allow_shrink=True)["virtual_size"] == 2 * MIB
    assert apply(tmp_path / "x", format=format)["virtual_size"] == 2 * MIB


def test_a_record_that_was_not_true_any_more_stays_so(tmp_path: Path) -> None:
    apply(tmp_path / "x", format="raw", size="4M")
    (tmp_path / "x").write_bytes(b"guest" * 1024)
    apply(tmp_path / "x", format="raw", size="8M")
    assert not untouched(str(tmp_path / "x"), read_record(str(tmp_path / "x")))


@pytest.mark.parametrize("format", ["vmdk", "vhd", "vhdx", "vdi"])
def test_formats_that_can_not_be_resized(tmp_path: Path, format: str) -> None:
    apply(tmp_path / "x", format=format, size="4M")
    with pytest.raises(Unsupported, match=f"can't resize {format} images; convert it to raw or qcow2"):
        plan(tmp_path / "x", format=format, size="8M")


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({}, InvalidOption, "size: .*/x does not exist"),
        ({"size": "ten"}, InvalidOption, "size: 'ten' is not a size"),
        ({"size": "0"}, InvalidOption, "above 0"),
        ({"size": "1M", "options": {"colour": "red"}}, InvalidOption, "options.colour: qcow2 has no such option"),
        ({"size": "1M", "format": "floppy"}, InvalidOption, "'floppy'"),
        ({"size": "1M", "owner": "no-such-user"}, InvalidOption, "owner: there is no user"),
        ({"size": "1M", "force": True}, InvalidOption, "force: .*state: absent"),
        ({"size": "1M", "format": "raw", "backing": below("/b")}, (InvalidOption, NotFound), "backing"),
        ({"backing": below("b.qcow2")}, InvalidOption, "backing.path: 'b.qcow2' is not an absolute path"),
        ({"backing": below("/no/such/file")}, NotFound, "backing.path: /no/such/file does not exist"),
        ({"size": "60T", "format": "raw", "options": {"preallocation": "full"}}, NoSpace, "needs about 60 TiB"),
    ],
)
def test_wrong_declarations(tmp_path: Path, given: dict[str, Any], kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        plan(tmp_path / "x", **given)


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("x", InvalidOption, "not an absolute path"),
        ("/no/such/folder/x", NotFound, "the folder /no/such/folder does not exist"),
    ],
)
def test_wrong_paths(path: str, kind: type[ImageOpsError], words: str) -> None:
    with pytest.raises(kind, match=words):
        plan(path, size="1M")


def test_other_things_than_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for state in ("present", "absent"):
        with pytest.raises(Conflict, match="neither a regular file nor a block device"):
            plan(tmp_path / "folder", state=state, size="1M")
    apply(tmp_path / "x", size="1M")
    (tmp_path / "link").symlink_to(tmp_path / "x")
    assert apply(tmp_path / "link", size="1M")["path"] == str(tmp_path / "x")
    with pytest.raises(Conflict, match="is a symbolic link"):
        plan(tmp_path / "link", state="absent")


@pytest.mark.parametrize(
    ("there", "declared", "words"),
    [
        ("qcow2", "vmdk", "vmdk.*qcow2"),
        ("qcow2", "raw", "is a qcow2 image, and the declared format is raw"),
        ("raw", "qcow2", "qcow2.*raw"),
    ],
)
def test_a_contradicted_format_names_both(tmp_path: Path, there: str, declared: str, words: str) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", there, str(tmp_path / "x"), "1M"], check=True)
    with pytest.raises(Conflict, match=words):
        plan(tmp_path / "x", format=declared, size="1M")


def test_options_that_differ_are_all_named(tmp_path: Path) -> None:
    apply(tmp_path / "x", size="1M", options={"preallocation": "metadata"})
    wanted = {"cluster_size": "128K", "compression_type": "zstd", "preallocation": "off", "compat": "1.1"}
    with pytest.raises(Conflict) as caught:
        plan(tmp_path / "x", size="1M", options=wanted)
    assert "options.cluster_size is 65536, declared is 131072" in str(caught.value)
    assert "options.compression_type is zlib, declared is zstd" in str(caught.value)
    assert "options.preallocation is metadata, declared is off" in str(caught.value)
    assert "compat" not in str(caught.value)


def test_a_stranger_with_the_same_header_is_taken(tmp_path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / "x"), "1M"], check=True)
    found = apply(tmp_path / "x", size="1M", options={"cluster_size": "64K", "preallocation": "full"})
    assert "preallocation" not in found["options"]


def test_an_overlay_takes_size_and_format_from_its_base(tmp_path: Path) -> None:
    apply(tmp_path / "base", size="4M")
    found = apply(tmp_path / "x", backing=below(tmp_path / "base"))
    assert (found["virtual_size"], found["backing"]) == (4 * MIB, {"path": str(tmp_path / "base"), "format": "qcow2"})
    told = info(tmp_path / "x", "qcow2")
    assert (told["backing-filename"], told["backing-filename-format"]) == (str(tmp_path / "base"), "qcow2")
    assert apply(tmp_path / "x")["backing"] == found["backing"]
    assert apply(tmp_path / "x2", size="6M", backing=below(tmp_path / "x"))["virtual_size"] == 6 * MIB


def test_a_raw_base_must_be_declared_or_recorded(tmp_path: Path) -> None:
    (tmp_path / "stranger").write_bytes(bytes(MIB))
    with pytest.raises(InvalidOption, match="backing.format: .*say 'format: raw'"):
        plan(tmp_path / "x", backing=below(tmp_path / "stranger"))
    apply(tmp_path / "x", backing=below(tmp_path / "stranger", "raw"))
    apply(tmp_path / "ours", format="raw", size="1M")
    assert apply(tmp_path / "y", backing=below(tmp_path / "ours"))["backing"]["format"] == "raw"


def test_a_chain_of_strangers_must_be_declared(tmp_path: Path) -> None:
    one, two = str(tmp_path / "1"), str(tmp_path / "2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", one, "1M"], check=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", one, "-F", "qcow2", two], check=True)
    with pytest.raises(UnsafeImage, match="not declared"):
        plan(tmp_path / "x", backing=below(two))
    with pytest.raises(UnsafeImage, match="not declared"):
        plan(two, size="1M")
    apply(tmp_path / "x", backing=below(two, chain=[one]))
    apply(two, backing=below(one))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": "2M"}, "is less than the 4 MiB of the backing file"),
        ({"options": {"preallocation": "full"}}, "extended_l2"),
        ({"format": "vmdk"}, "use 'format: qcow2' for overlays"),
    ],
)
def test_overlays_that_can_not_be(tmp_path: Path, given: dict[str, Any], words: str) -> None:
    apply(tmp_path / "base", size="4M")
    with pytest.raises(InvalidOption, match=words):
        plan(tmp_path / "x", backing=below(tmp_path / "base"), **given)
    assert apply(tmp_path / "x", backing=below(tmp_path / "base"), size="2M", allow_shrink=True)


def test_an_overlay_of_itself(tmp_path: Path) -> None:
    apply(tmp_path / "base", size="1M")
    apply(tmp_path / "x", backing=below(tmp_path / "base"))
    with pytest.raises(InvalidOption, match="rests on .*base itself"):
        plan(tmp_path / "base", backing=below(tmp_path / "x"))


def test_another_backing_file_is_a_contradiction(tmp_path: Path) -> None:
    for name in ("1", "2"):
        apply(tmp_path / name, size="1M")
    apply(tmp_path / "x", backing=below(tmp_path / "1"))
    with pytest.raises(Conflict, match=r"backing is .*/1 \(qcow2\), declared is .*/2 \(qcow2\)"):
        plan(tmp_path / "x", backing=below(tmp_path / "2", chain=[str(tmp_path / "1")]))
    with pytest.raises(Conflict, match="backing is none"):
        plan(tmp_path / "1", backing=below(tmp_path / "2"))


def test_items_rest_on_earlier_items(tmp_path: Path) -> None:
    tools = Tools()
    items = [
        item(tmp_path / "base", size="4M"),
        item(tmp_path / "x", backing=below(tmp_path / "base")),
        item(tmp_path / "y", backing=below(tmp_path / "x")),
    ]
    plans = [plan_disk(params, tools) for params in items]
    assert [planned.provisional for planned in plans] == [False, True, True]
    assert plans[2].after["virtual_size"] == 4 * MIB and seen(tmp_path) == []
    for params, planned in zip(items, plans):
        carry_out(plan_disk(params, tools) if planned.provisional else planned)
    assert seen(tmp_path) == ["base", "x", "y"]


def test_a_base_that_was_not_made_is_missed_by_its_overlay(tmp_path: Path) -> None:
    tools = Tools()
    items = [item(tmp_path / "base", size="4M"), item(tmp_path / "x", backing=below(tmp_path / "base"))]
    for params in items:
        plan_disk(params, tools)
    with pytest.raises(NotFound, match="base does not exist"):
        plan_disk(items[1], tools)


def test_overlay_and_base_go_in_one_list(tmp_path: Path) -> None:
    apply(tmp_path / "base", size="4M")
    apply(tmp_path / "x", backing=below(tmp_path / "base"))
    gone = [item(tmp_path / name, state="absent") for name in ("x", "base")]
    with pytest.raises(InUse):
        plan_disk(gone[1], Tools())
    tools = Tools()
    plans = [plan_disk(params, tools) for params in gone]
    with pytest.raises(InUse, match="the overlay .*/x reads it"):
        plan_disk(gone[1], tools)
    carry_out(plans[0])
    carry_out(plan_disk(gone[1], tools))
    assert seen(tmp_path) == []
    with pytest.raises(NotFound, match="removed by an earlier item"):
        plan_disk(item(tmp_path / "y", backing=below(tmp_path / "base")), tools)


def test_one_path_twice(tmp_path: Path) -> None:
    tools = Tools()
    items = [item(tmp_path / "x", size="1M"), item(tmp_path / "x", size="2M")]
    plan_disk(items[0], tools)
    plan_disk(items[0], tools)
    with pytest.raises(InvalidOption, match="named twice"):
        plan_disk(items[1], tools)


def test_absent_takes_the_record_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_attributes(*_args: Any) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "setxattr", no_attributes)
    apply(tmp_path / "x", size="1M")
    assert len(seen(tmp_path)) == 2
    assert apply(tmp_path / "x", state="absent") == {"path": str(tmp_path / "x"), "state": "absent"}
    assert seen(tmp_path) == []


RUNNING = User("domain", "web", "it is a disk of the running domain web", running=True, top=True)
STOPPED = User("domain", "web", "it is a disk of the stopped domain web", top=True)
BELOW = User("domain", "web", "a disk of the stopped domain web rests on it")
OVER = User("overlay", "/o", "the overlay /o reads it as its backing file")
ENGINE = User("engine", "/x", "it is opened for writing by process 1 (qemu)", running=True)


@pytest.mark.parametrize(
    ("user", "resized", "removed", "forced"),
    [
        (RUNNING, False, False, False),
        (ENGINE, False, False, False),
        (STOPPED, True, False, False),
        (BELOW, False, False, False),
        (OVER, False, False, True),
    ],
)
def test_who_may_use_it_while_what_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: User, resized: bool, removed: bool, forced: bool
) -> None:
    apply(tmp_path / "x", size="1M")
    monkeypatch.setattr(usage, "users_of", lambda path, tools, **kwargs: [user])
    acts = [({"size": "2M"}, resized), ({"state": "absent"}, removed), ({"state": "absent", "force": True}, forced)]
    for given, allowed in acts:
        if allowed:
            assert plan(tmp_path / "x", **given).changed
        else:
            with pytest.raises(InUse, match=user.sentence.replace("(", r"\(").replace(")", r"\)")):
                plan(tmp_path / "x", **given)


def test_locks_cover_job_and_base(tmp_path: Path) -> None:
    params = item(tmp_path / "x", backing=below(tmp_path / "b"))
    assert list(locks(params, Tools())) == [f"{tmp_path}/x", f"write:{tmp_path}/x", f"{tmp_path}/b"]
    gone = [f"{tmp_path}/x", f"write:{tmp_path}/x", f"base:{tmp_path}/x"]
    assert list(locks({**params, "state": "absent"}, Tools())) == gone


def test_nobody_makes_disks_from_what_goes(tmp_path: Path) -> None:
    going = locks(item(tmp_path / "b", state="absent"), Tools())
    with held(going, timeout=0, wait=Clock().wait_until), pytest.raises(InUse, match="removes it"):
        plan(tmp_path / "x", format="qcow2", backing=below(tmp_path / "b", "raw"))


def test_a_name_taken_in_the_meantime_stays(tmp_path: Path) -> None:
    planned = plan(tmp_path / "x", size="1M")
    (tmp_path / "x").write_bytes(b"somebody's")
    with pytest.raises(Conflict, match="made by somebody else"):
        carry_out(planned)
    assert (seen(tmp_path), (tmp_path / "x").read_bytes()) == (["x"], b"somebody's")


def test_a_second_run_starts_no_program(tmp_path: Path) -> None:
    def forbidden(argv: list[str], **kwargs: Any) -> Any:
        raise AssertionError(argv)

    apply(tmp_path / "x", size="1M")
    assert not plan_disk(item(tmp_path / "x", size="1M"), Tools(commands=Commands(forbidden))).changed
    assert _files.fingerprint(str(tmp_path / "x")) is not None
