# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of qcow2 that qemu-img makes is lawful, and read as QEMU reads it."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import inspect_chain
from ansible_collections.imageops.fleet.plugins.module_utils._formats.facts import ImageFacts
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    convert,
    create,
    create_encrypted,
    disk,
    look,
    patch,
    qemu_img,
    qemu_info,
    qemu_io,
    refused,
    rules,
)

CLUSTERS = [str(512 << shift) for shift in range(13)]
PREALLOCATIONS = ["off", "metadata", "falloc", "full"]
SWITCHES = [
    ",".join(chosen)
    for chosen in product(
        ["lazy_refcounts=on", "lazy_refcounts=off"],
        ["extended_l2=on", "extended_l2=off"],
        ["compression_type=zstd", "compression_type=zlib"],
    )
]
LUKS = ["encrypt.format=luks", "encrypt.key-secret=s", "encrypt.iter-time=100"]


def check_same(facts: ImageFacts, info: dict[str, Any]) -> None:
    """Compare with what QEMU says."""
    details = info["format-specific"]["data"]
    assert (facts.format, facts.virtual_size, facts.cluster_size) == (
        info["format"],
        info["virtual-size"],
        info["cluster-size"],
    )
    assert facts.variant == ("v2" if details["compat"] == "0.10" else "v3")
    assert facts.compression == details["compression-type"]
    assert facts.corrupt == details.get("corrupt", False)
    for ours, theirs, default in (
        ("refcount_bits", "refcount-bits", 16),
        ("lazy_refcounts", "lazy-refcounts", False),
        ("extended_l2", "extended-l2", False),
        ("data_file_raw", "data-file-raw", False),
    ):
        assert facts.header[ours] == details.get(theirs, default), ours
    assert facts.data_file == details.get("data-file")


@pytest.mark.parametrize("cluster", CLUSTERS)
@pytest.mark.parametrize("compat", ["0.10", "1.1"])
def test_cluster_sizes_and_preallocation(tmp_path: Path, compat: str, cluster: str) -> None:
    for number, preallocation in enumerate(PREALLOCATIONS):
        options = f"compat={compat},cluster_size={cluster},preallocation={preallocation}"
        path = create(tmp_path / f"{number}.qcow2", "qcow2", "3M", options)
        facts = look(path)
        check_same(facts, qemu_info(path, "qcow2"))
        assert facts.findings == (), options


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("cluster", ["512", "64k", "2M"])
def test_refcount_widths(tmp_path: Path, cluster: str, bits: int) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "20M", f"refcount_bits={bits},cluster_size={cluster}")
    qemu_io(path, "write 5M 100k", "write 19M 1M")
    facts = look(path)
    check_same(facts, qemu_info(path, "qcow2"))
    assert facts.findings == ()


@pytest.mark.parametrize("cluster", ["16k", "64k", "2M"])
@pytest.mark.parametrize("switches", SWITCHES)
def test_switches(tmp_path: Path, switches: str, cluster: str) -> None:
    for number, preallocation in enumerate(PREALLOCATIONS):
        options = f"{switches},cluster_size={cluster},preallocation={preallocation}"
        path = create(tmp_path / f"{number}.qcow2", "qcow2", "5M", options)
        # QEMU compresses only where nothing was allocated before.
        compressed = ["write -c 2M 2M"] if preallocation == "off" else []
        qemu_io(path, "write 1M 70k", *compressed, "discard 1M 64k", "write -z 4M 64k")
        facts = look(path)
        check_same(facts, qemu_info(path, "qcow2"))
        assert facts.findings == (), options


@pytest.mark.parametrize("raw", ["on", "off"])
@pytest.mark.parametrize(
    "more", ["", ",extended_l2=on", ",preallocation=metadata", ",cluster_size=2M", ",lazy_refcounts=on"]
)
def test_data_files(tmp_path: Path, more: str, raw: str) -> None:
    path, data = tmp_path / "a.qcow2", tmp_path / "a.data"
    create(path, "qcow2", "5M", f"data_file={data},data_file_raw={raw}{more}")
    qemu_io(path, "write 1M 70k", "write 4M 1M")
    info, links = qemu_info(path, "qcow2"), inspect_chain(str(path))
    check_same(links[0].facts, info)
    assert [(link.role, link.real_path, link.facts.format) for link in links[1:]] == [("data-file", str(data), "raw")]
    assert rules(links[0].facts) == {"data-file"}
    assert links[0].facts.header["data_file_end"] <= data.stat().st_size
    with data.open("r+b") as stream:
        stream.truncate(1 * MIB)
    assert "truncated" in rules(inspect_chain(str(path))[0].facts)
    data.unlink()
    assert "reference-missing" in rules(inspect_chain(str(path))[0].facts)


@pytest.mark.parametrize("options", ["", "cluster_size=512", "extended_l2=on", "refcount_bits=64"])
def test_snapshots_and_bitmaps(tmp_path: Path, options: str) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "20M", *filter(None, [options]))
    for number in range(3):
        qemu_io(path, f"write {number * 5}M 3M")
        qemu_img("snapshot", "-c", f"snäp {number}", str(path))
        qemu_img("bitmap", "--add", "-g", str(512 << number * 7), str(path), f"b{number}")
    qemu_img("bitmap", "--disable", str(path), "b1")
    qemu_io(path, "write 0 1M", "discard 5M 3M")
    facts, info = look(path), qemu_info(path, "qcow2")
    check_same(facts, info)
    assert [(one.id, one.name, one.vm_state_size, one.date) for one in facts.snapshots] == [
        (one["id"], one["name"], one["vm-state-size"], one["date-sec"]) for one in info["snapshots"]
    ]
    assert [(one.name, one.granularity, one.enabled) for one in facts.bitmaps] == [
        (one["name"], one["granularity"], "auto" in one["flags"]) for one in info["format-specific"]["data"]["bitmaps"]
    ]
    assert facts.findings == ()


def test_a_snapshot_from_before_a_resize(tmp_path: Path) -> None:
    path = convert(disk(tmp_path / "a.raw", 5 * MIB), tmp_path / "a.qcow2", "qcow2")
    qemu_img("snapshot", "-c", "small", str(path))
    qemu_img("resize", "-q", str(path), "9M")
    qemu_io(path, "write 8M 1M")
    facts = look(path)
    assert (facts.snapshots[0].disk_size, facts.virtual_size, facts.findings) == (5 * MIB, 9 * MIB, ())


def test_luks_inside(tmp_path: Path) -> None:
    options = [*LUKS, "encrypt.cipher-alg=serpent-256,encrypt.cipher-mode=cbc"]
    path = create_encrypted(tmp_path / "a.qcow2", "qcow2", "5M", ",".join(options))
    facts, info = look(path), qemu_info(path, "qcow2")
    check_same(facts, info)
    told = info["format-specific"]["data"]["encrypt"]
    assert (facts.encryption, facts.cipher["cipher"], facts.cipher["mode"]) == ("luks", "serpent", "cbc-plain64")
    assert facts.cipher["uuid"] == told["uuid"]
    assert facts.cipher["key_slots"] == [number for number, one in enumerate(told["slots"]) if one["active"]]
    assert rules(facts) == {"encrypted"}


def test_the_old_encryption(tmp_path: Path) -> None:
    path = create_encrypted(tmp_path / "a.qcow2", "qcow2", "5M", "encrypt.format=aes,encrypt.key-secret=s")
    facts = look(path)
    check_same(facts, qemu_info(path, "qcow2"))
    assert (facts.cipher["type"], rules(facts)) == ("aes", {"encrypted", "legacy-encryption"})


def test_the_reserved_field_of_bitmaps_is_zero(tmp_path: Path) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "1M")
    qemu_img("bitmap", "--add", str(path), "b")
    place = path.read_bytes().index(b"\x23\x85\x28\x75")
    patch(path, place + 12, ">I", 1)
    assert refused(look(path)) == {"malformed-header"}
