# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attacks and accidents in the tables of qcow2: snapshots, bitmaps, refcounts, places."""

from __future__ import annotations

import struct
import time
from pathlib import Path

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
    qemu_io,
    refused,
    rules,
)

OFFSET = 0x00FFFFFFFFFFFE00
CLUSTER = 65536


@pytest.fixture(name="image")
def image_fixture(tmp_path: Path) -> Path:
    """An image with data, a snapshot whose L2 table is its own, and a bitmap."""
    path = convert(disk(tmp_path / "a.raw", 5 * MIB), tmp_path / "a.qcow2", "qcow2")
    qemu_img("snapshot", "-c", "one", str(path))
    qemu_img("bitmap", "--add", str(path), "daily")
    qemu_io(path, "write 0 1M")
    assert look(path).findings == ()
    return path


def active_l2(path: Path) -> int:
    (l1,) = fetch(path, 40, ">Q")
    return int(fetch(path, l1, ">Q")[0] & OFFSET)


def snapshot_l1(path: Path) -> int:
    (table,) = fetch(path, 64, ">Q")
    return int(fetch(path, table, ">Q")[0])


def directory(path: Path) -> int:
    """Where the bitmap directory lies."""
    at = path.read_bytes().index(struct.pack(">II", 0x23852875, 24))
    return int(fetch(path, at + 24, ">Q")[0])


@pytest.mark.parametrize(
    ("entry", "expected"),
    [(1 << 40, "truncated"), (CLUSTER + 512, "table-bounds"), ("l1", "table-overlap"), ("l2", "table-overlap")],
)
def test_l2_tables_of_snapshots_are_walked(image: Path, entry: int | str, expected: str) -> None:
    l1 = snapshot_l1(image)
    (l2,) = fetch(image, l1, ">Q")
    assert l2 & OFFSET != active_l2(image)
    value = {"l1": l1, "l2": active_l2(image)}.get(str(entry), entry)
    patch(image, l2 & OFFSET, ">Q", value)
    assert refused(look(image)) == {expected}


@pytest.mark.parametrize("target", ["header", "refcount table", "own L1", "active L1"])
def test_an_l2_table_of_a_snapshot_in_another_table(image: Path, target: str) -> None:
    l1 = snapshot_l1(image)
    places = {"header": CLUSTER - CLUSTER, "own L1": l1}
    places["refcount table"], places["active L1"] = fetch(image, 48, ">Q")[0], fetch(image, 40, ">Q")[0]
    patch(image, l1, ">Q", places[target])
    assert (refused(look(image)) == {"table-overlap"}) == (target != "header")


@pytest.mark.parametrize("target", [0, 1, 2])
def test_guest_data_in_the_image_s_own_tables(image: Path, target: int) -> None:
    """Writing to such a cluster would rewrite a table."""
    place = [fetch(image, 40, ">Q")[0], fetch(image, 48, ">Q")[0], active_l2(image)][target]
    patch(image, active_l2(image), ">Q", 1 << 63 | place)
    assert refused(look(image)) == {"table-overlap"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1 << 63, {"table-bounds"}),
        (1 << 50, {"truncated"}),
        (512, {"table-bounds"}),
        ("l1", {"table-overlap"}),
        ("l2", {"table-overlap"}),
    ],
)
def test_refcount_blocks(image: Path, value: int | str, expected: set[str]) -> None:
    (table,) = fetch(image, 48, ">Q")
    place = {"l1": fetch(image, 40, ">Q")[0], "l2": active_l2(image)}.get(str(value), value)
    patch(image, table, ">Q", place)
    assert refused(look(image)) == expected


BITMAPS = [
    ("table past the end", 0, ">Q", (1 << 40,), {"truncated"}),
    ("unaligned table", 0, ">Q", (CLUSTER + 8,), {"table-bounds"}),
    ("no table", 0, ">QI", (0, 0), {"table-bounds"}),
    ("huge table", 8, ">I", (0xFFFFFFFF,), {"absurd-size"}),
    ("huge granularity", 17, ">B", (60,), {"absurd-size"}),
    ("tiny granularity", 17, ">B", (1,), {"malformed-header"}),
    ("unknown type", 16, ">B", (9,), {"malformed-header"}),
    ("table on L1", 0, ">Q", ("l1",), {"table-overlap"}),
    ("endless name", 18, ">H", (0xFFFF,), set()),
    ("endless extra data", 20, ">I", (0xFFFFFFFF,), set()),
]


@pytest.mark.parametrize(("what", "offset", "layout", "values", "expected"), BITMAPS, ids=[one[0] for one in BITMAPS])
def test_bitmaps(
    image: Path, what: str, offset: int, layout: str, values: tuple[int | str, ...], expected: set[str]
) -> None:
    told = [fetch(image, 40, ">Q")[0] if value == "l1" else value for value in values]
    patch(image, directory(image) + offset, layout, *told)
    assert refused(look(image)) == expected, what


def test_a_bitmap_too_small_for_its_disk(image: Path) -> None:
    patch(image, directory(image) + 17, ">B", 9)
    patch(image, 24, ">Q", 400 * MIB)
    assert refused(look(image)) == {"table-bounds"}


def test_bitmaps_in_use_are_told_at_once(image: Path) -> None:
    for number in range(5):
        qemu_img("bitmap", "--add", str(image), f"b{number}")
    at = directory(image)
    for _turn in range(6):
        length = fetch(image, at + 18, ">H")[0]
        patch(image, at + 12, ">I", 3)
        at += -(-(24 + length) // 8) * 8
    (found,) = look(image).findings
    assert found.rule == "bitmap-in-use" and "and 3 more" in found.message


def test_many_tables_of_one_image_take_little_time(tmp_path: Path) -> None:
    """1024 snapshots with as many L1 tables, all over the same L2 tables."""
    path = create(tmp_path / "a.qcow2", "qcow2", "1G")
    qemu_io(path, "write 0 64k", "write 600M 64k")
    for number in range(3):
        qemu_img("snapshot", "-c", str(number), str(path))
    table = -(-path.stat().st_size // CLUSTER) * CLUSTER
    l1 = struct.pack(">2Q", *(one & OFFSET for one in fetch(path, fetch(path, 40, ">Q")[0], ">2Q")))
    rows, tables = [], table + 4 * CLUSTER
    for number in range(1024):
        name = str(number).encode()
        row = struct.pack(">QIHHIIQIIQQ", tables + number * CLUSTER, 2, len(name), 0, 0, 0, 0, 0, 16, 0, 1 << 30) + name
        rows.append(row.ljust(-(-len(row) // 8) * 8, b"\0"))
        patch(path, tables + number * CLUSTER, f"{len(l1)}s", l1)
    patch(path, table, f"{len(b''.join(rows))}s", b"".join(rows))
    patch(path, 60, ">IQ", 1024, table)
    started = time.process_time()
    facts = look(path)
    assert (len(facts.snapshots), facts.findings) == (1024, ())
    assert time.process_time() - started < 5  # reading each table anew takes minutes


def test_an_icount_is_told(image: Path) -> None:
    (table,) = fetch(image, 64, ">Q")
    patch(image, table + 40 + 16, ">Q", 12345)
    assert look(image).snapshots[0].icount == 12345
    patch(image, table + 28, ">I", 7)
    patch(image, table + 40, ">Q", 99)
    assert look(image).snapshots[0].vm_state_size == 99


@pytest.mark.parametrize("bits", [1, 16])
def test_large_images_cut_at_a_cluster_are_not_called_whole(tmp_path: Path, bits: int) -> None:
    path = create(tmp_path / "a.qcow2", "qcow2", "300G", f"preallocation=metadata,refcount_bits={bits}")
    assert look(path).findings == ()
    with path.open("r+b") as stream:
        stream.truncate(path.stat().st_size - CLUSTER)
    assert rules(look(path)) & {"truncated", "tables-unchecked"}
