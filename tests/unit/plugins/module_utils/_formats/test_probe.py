# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.rules import RULES
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    create,
    disk,
    look,
    patch,
    refused,
    rules,
)

CONTAINERS = ["qcow2", "vmdk", "vhd", "vhdx", "vdi"]
FOREIGN = {
    "qcow": b"QFI\xfb\0\0\0\1",
    "parallels": b"WithouFreSpacExt",
    "bochs": b"Bochs Virtual HD Image",
    "cloop": b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop",
}
MBR_ROW = bytes([0x80, 0, 0, 0, 0x83, 0, 0, 0]) + (2048).to_bytes(4, "little") + (4096).to_bytes(4, "little")


def with_mbr(path: Path) -> Path:
    patch(path, 446, "16s", MBR_ROW)
    patch(path, 510, "2s", b"\x55\xaa")
    return path


@pytest.mark.parametrize("declared", [None, "same"])
@pytest.mark.parametrize("name", CONTAINERS)
def test_the_one_signature_decides(tmp_path: Path, name: str, declared: str | None) -> None:
    facts = look(create(tmp_path / "a.img", name, "8M"), name if declared else None)
    assert (facts.format, facts.findings) == (name, ())


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_declared_raw_is_unsafe(tmp_path: Path, name: str) -> None:
    facts = look(create(tmp_path / "a.img", name, "8M"), "raw")
    assert (facts.format, refused(facts)) == ("raw", {"second-signature"})


@pytest.mark.parametrize("declared", CONTAINERS)
@pytest.mark.parametrize("name", ["raw", *CONTAINERS])
def test_a_contradiction_is_an_error_that_names_both(tmp_path: Path, name: str, declared: str) -> None:
    if name == declared:
        declared = "qcow2" if name != "qcow2" else "vdi"
    facts = look(create(tmp_path / "a.img", name, "8M"), declared)
    (found,) = [one for one in facts.findings if one.rule == "format-contradiction"]
    assert (facts.format, found.severity) == (name, "error")
    assert f"declared as {declared}" in found.message and f"is {name};" in found.message


@pytest.mark.parametrize("declared", [None, "raw"])
@pytest.mark.parametrize("kind", ["plain", "mbr", "empty"])
def test_ordinary_raw_disks_have_no_findings(tmp_path: Path, kind: str, declared: str | None) -> None:
    path = disk(tmp_path / "a.raw", 3 * MIB)
    if kind == "mbr":
        with_mbr(path)
    elif kind == "empty":
        path.write_bytes(b"")
    facts = look(path, declared)
    assert (facts.format, facts.virtual_size, facts.findings) == ("raw", path.stat().st_size, ())
    assert (facts.partition_table is not None) == (kind == "mbr")


@pytest.mark.parametrize("declared", [None, "raw"])
def test_an_iso_hybrid_is_only_noted(tmp_path: Path, declared: str | None) -> None:
    path = with_mbr(disk(tmp_path / "a.iso", 3 * MIB))
    patch(path, 32768, "6s", b"\1CD001")
    facts = look(path, declared)
    assert (facts.format, rules(facts), refused(facts)) == ("raw", {"iso-image"}, set())


@pytest.mark.parametrize("name", FOREIGN)
def test_formats_of_others_are_named_and_refused(tmp_path: Path, name: str) -> None:
    path = disk(tmp_path / "a.img", MIB)
    path.write_bytes(FOREIGN[name] + path.read_bytes()[len(FOREIGN[name]) :])
    facts = look(path)
    assert (facts.format, refused(facts)) == (name, {"unsupported-format"})
    assert refused(look(path, "raw")) == {"second-signature"}
    assert "format-contradiction" in refused(look(path, "qcow2"))


def test_a_dmg_at_the_end_is_seen(tmp_path: Path) -> None:
    path = disk(tmp_path / "a.img", MIB)
    patch(path, -512, "4s", b"koly")
    assert look(path).format == "dmg"
    assert refused(look(path, "raw")) == {"second-signature"}


def test_a_vhd_footer_makes_a_raw_disk_unsafe(tmp_path: Path) -> None:
    path = create(tmp_path / "a.vhd", "vhd", "3M", "subformat=fixed")
    assert look(path).format == "vhd"
    assert refused(look(path, "raw")) == {"second-signature"}


def test_eight_letters_at_the_end_of_guest_data_are_no_polyglot(tmp_path: Path) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "8M")
    with path.open("ab") as stream:
        stream.write(bytes(65536 - path.stat().st_size % 65536 - 512) + b"conectix".ljust(512, b"\0"))
    assert refused(look(path, "qcow2")) == set()


@pytest.mark.parametrize("declared", [None, "qcow2"])
@pytest.mark.parametrize("second", ["mbr", "iso", "vhd"])
def test_polyglots_are_unsafe(tmp_path: Path, second: str, declared: str | None) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "8M")
    if second == "mbr":
        with_mbr(path)
    elif second == "iso":
        patch(path, 32768, "6s", b"\1CD001")
    else:
        footer = create(tmp_path / "b.vhd", "vhd", "3M", "subformat=fixed").read_bytes()[-512:]
        path.write_bytes(path.read_bytes() + footer)
    assert refused(look(path, declared)) == {"polyglot"}


def test_two_headers_at_once_are_unsafe(tmp_path: Path) -> None:
    """VDI keeps its signature behind a line of text, where a qcow2 header has room for one."""
    path = create(tmp_path / "a.qcow2", "qcow2", "8M", "compat=0.10")
    patch(path, 64, "4s", b"\x7f\x10\xda\xbe")
    assert "polyglot" in refused(look(path))


def test_every_rule_has_a_known_severity_and_a_reason() -> None:
    assert {severity for severity, _reason in RULES.values()} == {"unsafe", "error", "warning", "info"}
    assert all(reason for _severity, reason in RULES.values())
