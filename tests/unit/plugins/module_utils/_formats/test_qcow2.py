# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    convert,
    create,
    disk,
    fetch,
    look,
    patch,
    qemu_img,
    qemu_info,
    qemu_io,
    refused,
    rules,
)

VARIANTS = [
    "compat=1.1",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=2M",
    "extended_l2=on",
    "extended_l2=on,cluster_size=2M",
    "compression_type=zstd",
    "preallocation=metadata",
    "lazy_refcounts=on",
    "refcount_bits=1",
    "refcount_bits=64",
]


@pytest.fixture(name="image")
def image_fixture(tmp_path: Path) -> Path:
    return create(tmp_path / "a.qcow2", "qcow2", "10M")


@pytest.fixture(name="full")
def full_fixture(tmp_path: Path) -> Path:
    return convert(disk(tmp_path / "a.raw", 5 * MIB), tmp_path / "a.qcow2", "qcow2")


@pytest.mark.parametrize("size", ["512", "1000001K", "10G"])
@pytest.mark.parametrize("options", VARIANTS)
def test_every_kind_is_read_as_qemu_reads_it(tmp_path: Path, options: str, size: str) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", size, options)
    facts, info = look(path), qemu_info(path, "qcow2")
    details = info["format-specific"]["data"]
    assert (facts.format, facts.virtual_size, facts.cluster_size) == (
        "qcow2",
        info["virtual-size"],
        info["cluster-size"],
    )
    assert facts.variant == ("v2" if details["compat"] == "0.10" else "v3")
    assert facts.compression == details["compression-type"]
    assert facts.header["refcount_bits"] == details["refcount-bits"]
    assert facts.header["lazy_refcounts"] == details.get("lazy-refcounts", False)
    assert facts.header["extended_l2"] == details.get("extended-l2", False)
    assert facts.findings == ()


@pytest.mark.parametrize("compress", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("size", [3 * MIB, 2 * MIB + 512, 5 * MIB + 1536])
@pytest.mark.parametrize("options", [one for one in VARIANTS if "preallocation" not in one])
def test_images_with_data_have_no_findings(tmp_path: Path, options: str, size: int, compress: bool) -> None:
    path = convert(disk(tmp_path / "a.raw", size), tmp_path / "a.qcow2", "qcow2", options, compress=compress)
    assert look(path, "qcow2").findings == ()


@pytest.mark.parametrize("options", VARIANTS)
def test_images_that_a_guest_wrote_to_have_no_findings(tmp_path: Path, options: str) -> None:
    base = convert(disk(tmp_path / "base.raw", 3 * MIB), tmp_path / "base.qcow2", "qcow2")
    path = create(tmp_path / "a.qcow2", "qcow2", "3M", options)
    qemu_io(path, "write 1000k 4k", "write -z 64k 256k", "discard 64k 64k", "write 2M 512")
    if "refcount_bits=1" not in options.split(","):
        qemu_img("snapshot", "-c", "one", str(path))
    qemu_io(path, "write 1M 100k", "write 3071k 1k")
    assert look(path).findings == ()
    overlay = create(tmp_path / "b.qcow2", "qcow2", "", backing=str(base))
    qemu_io(overlay, "write 70k 3k", "write 2M 512")
    assert rules(look(overlay)) == {"backing-file"}


def test_backing_file_and_its_format(tmp_path: Path) -> None:
    create(tmp_path / "base.qcow2", "qcow2", "1M")
    path = create(tmp_path / "over.qcow2", "qcow2", "", backing="base.qcow2")
    facts = look(path)
    assert facts.backing is not None
    assert (facts.backing.name, facts.backing.format) == ("base.qcow2", "qcow2")
    assert rules(facts) == {"backing-file"}


def test_a_backing_file_without_recorded_format_is_unsafe(tmp_path: Path) -> None:
    create(tmp_path / "base.qcow2", "qcow2", "1M")
    path = create(tmp_path / "over.qcow2", "qcow2", "", backing="base.qcow2")
    data = path.read_bytes()
    patch(path, data.index(struct.pack(">I", 0xE2792ACA)), ">I", 0x12345678)
    assert refused(look(path)) == {"backing-file", "backing-format-missing"}


def test_snapshots_bitmaps_and_external_data(tmp_path: Path, full: Path) -> None:
    qemu_img("snapshot", "-c", "before", str(full))
    qemu_img("bitmap", "--add", "-g", "64K", str(full), "daily")
    facts = look(full)
    assert [(one.name, one.vm_state_size, one.disk_size) for one in facts.snapshots] == [("before", 0, 5 * MIB)]
    assert [(one.name, one.granularity, one.in_use, one.enabled) for one in facts.bitmaps] == [
        ("daily", 65536, False, True)
    ]
    assert facts.findings == ()


@pytest.mark.parametrize("raw", ["on", "off"])
def test_an_external_data_file_is_unsafe(tmp_path: Path, raw: str) -> None:
    data = tmp_path / "data.raw"
    path = create(tmp_path / "a.qcow2", "qcow2", "10M", f"data_file={data},data_file_raw={raw}")
    qemu_io(path, "write 5M 64k")
    facts = look(path)
    assert (facts.data_file, refused(facts)) == (str(data), {"data-file"})


HEADER_ATTACKS: list[tuple[str, int, str, tuple[Any, ...], set[str]]] = [
    ("version 1", 4, ">I", (1,), {"unsupported-format"}),
    ("version 9", 4, ">I", (9,), {"unsupported-variant"}),
    ("cluster bits 8", 20, ">I", (8,), {"malformed-header"}),
    ("cluster bits 63", 20, ">I", (63,), {"malformed-header"}),
    ("size of 8 EiB", 24, ">Q", (1 << 63,), {"absurd-size"}),
    ("size larger than L1", 24, ">Q", (1 << 40,), {"table-bounds"}),
    ("unaligned size", 24, ">Q", (1000,), {"malformed-header"}),
    ("LUKS without header", 32, ">I", (2,), {"encryption-header"}),
    ("unknown encryption", 32, ">I", (7,), {"malformed-header"}),
    ("huge L1", 36, ">I", (0xFFFFFFFF,), {"absurd-size"}),
    ("L1 past the end", 40, ">Q", (1 << 40,), {"truncated"}),
    ("L1 overflows", 40, ">Q", (0xFFFFFFFFFFFF0000,), {"truncated"}),
    ("unaligned L1", 40, ">Q", (4097,), {"table-bounds"}),
    ("L1 on the header", 40, ">Q", (0,), {"table-bounds"}),
    ("L1 on the refcount table", 40, ">Q", (65536,), {"table-overlap"}),
    ("refcount table past the end", 48, ">Q", (1 << 50,), {"truncated"}),
    ("huge refcount table", 56, ">I", (0x7FFFFFFF,), {"absurd-size"}),
    ("no refcount table", 56, ">I", (0,), {"malformed-header"}),
    ("65536 snapshots", 60, ">I", (65536,), {"too-many-snapshots"}),
    ("snapshots past the end", 60, ">IQ", (3, 1 << 40), {"truncated"}),
    ("backing name past the cluster", 8, ">QI", (65530, 100), {"table-bounds"}),
    ("backing name too long", 8, ">QI", (600, 4096), {"table-bounds"}),
    ("corrupt bit", 72, ">Q", (2,), {"corrupt"}),
    ("unknown feature", 72, ">Q", (1 << 40,), {"unknown-feature"}),
    ("data file without a name", 72, ">Q", (4,), {"data-file"}),
    ("compression bit without type", 72, ">Q", (8,), {"malformed-header"}),
    ("refcount order 9", 96, ">I", (9,), {"malformed-header"}),
    ("short header", 100, ">I", (96,), {"malformed-header"}),
    ("header longer than a cluster", 100, ">I", (1 << 20,), {"malformed-header"}),
    ("extension overflow", 112, ">II", (0xE2792ACA, 0xFFFFFFFF), {"table-bounds"}),
    ("snapshot with huge L1", 60, ">IQ", (1, 512), {"table-bounds"}),
]


@pytest.mark.parametrize(
    ("what", "offset", "layout", "values", "expected"), HEADER_ATTACKS, ids=[a[0] for a in HEADER_ATTACKS]
)
def test_header_attacks_are_refused(
    image: Path, what: str, offset: int, layout: str, values: tuple[Any, ...], expected: set[str]
) -> None:
    patch(image, offset, layout, *values)
    assert refused(look(image)) >= expected, what


def test_dirty_is_a_warning(image: Path) -> None:
    patch(image, 72, ">Q", 1)
    facts = look(image)
    assert (facts.dirty, rules(facts), refused(facts)) == (True, {"unclean"}, set())


def test_the_name_of_an_unknown_feature_is_told(image: Path) -> None:
    patch(image, 72, ">Q", 1 << 40)
    data = image.read_bytes()
    patch(image, data.index(b"dirty bit") - 1, ">B46s", 40, b"time travel")
    assert any("time travel" in found.message for found in look(image).findings)


def test_an_l2_table_shared_by_the_whole_disk_is_a_bomb(tmp_path: Path) -> None:
    path = create(tmp_path / "bomb.qcow2", "qcow2", "8T")
    qemu_io(path, "write 0 64k")
    entries, at = fetch(path, 36, ">IQ")
    (entry,) = fetch(path, at, ">Q")
    patch(path, at, f">{entries}Q", *[entry] * entries)
    assert "shared-table" in refused(look(path))


@pytest.mark.parametrize("write", ["write 0 64k", "write -c 0 64k"])
def test_a_cluster_shared_by_an_l2_table_is_a_bomb(tmp_path: Path, write: str) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "512M")
    qemu_io(path, write)
    (l1,) = fetch(path, 40, ">Q")
    l2 = fetch(path, l1, ">Q")[0] & 0xFFFFFFFFFFFE00
    patch(path, l2, ">8192Q", *fetch(path, l2, ">Q") * 8192)
    assert "shared-table" in refused(look(path))


def test_an_entry_past_the_end_is_truncation(full: Path) -> None:
    (l1,) = fetch(full, 40, ">Q")
    (l2,) = fetch(full, l1, ">Q")
    patch(full, l2 & 0xFFFFFFFFFFFE00, ">Q", 1 << 63 | 1 << 40)
    assert "truncated" in refused(look(full))


def test_an_entry_inside_a_cluster_is_refused(full: Path) -> None:
    (l1,) = fetch(full, 40, ">Q")
    (l2,) = fetch(full, l1, ">Q")
    patch(full, l2 & 0xFFFFFFFFFFFE00, ">Q", 1 << 63 | 65536 + 512)
    assert "table-bounds" in refused(look(full))


def test_an_l2_table_on_the_header_is_refused(full: Path) -> None:
    (l1,) = fetch(full, 40, ">Q")
    patch(full, l1, ">Q", 1 << 63 | l1)
    assert "table-overlap" in refused(look(full))


@pytest.mark.parametrize("method", ["zlib", "zstd"])
def test_a_compressed_image_may_end_inside_a_sector(tmp_path: Path, method: str) -> None:
    """The last compressed cluster is looked at then, to see whether only padding is missing."""
    raw, options = disk(tmp_path / "a.raw", 3 * MIB), f"compression_type={method}"
    path = convert(raw, tmp_path / "a.qcow2", "qcow2", options, compress=True)
    data = path.read_bytes()
    path.write_bytes(data.rstrip(b"\0"))
    assert refused(look(path)) == set()
    path.write_bytes(data.rstrip(b"\0")[:-2])
    assert refused(look(path)) == {"truncated"}


def test_tables_beyond_the_limit_are_judged_by_the_refcounts(tmp_path: Path) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "300G", "preallocation=metadata")
    facts = look(path)
    assert (facts.findings, facts.header["tables_checked"]) == ((), True)
    assert facts.header["l2_tables"] == {"total": 600, "read": 512}
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - 65536 * 100)
    assert rules(look(path)) & {"truncated", "tables-unchecked"}


def test_without_trustworthy_refcounts_they_are_said_to_be_unchecked(tmp_path: Path) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "300G", "preallocation=metadata")
    patch(path, 72, ">Q", 1)
    facts = look(path)
    assert (rules(facts), facts.header["tables_checked"]) == ({"unclean", "tables-unchecked"}, False)


def test_names_end_at_nul_as_they_do_for_qemu(tmp_path: Path) -> None:
    create(tmp_path / "base.qcow2", "qcow2", "1M")
    path = create(tmp_path / "over.qcow2", "qcow2", "", backing="base.qcow2")
    offset, _length = fetch(path, 8, ">QI")
    patch(path, offset, ">10s", b"/etc\0w\xff\xfe\0\0")
    backing = look(path).backing
    assert backing is not None and backing.name == "/etc"
