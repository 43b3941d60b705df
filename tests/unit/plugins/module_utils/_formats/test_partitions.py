# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
import zlib
from pathlib import Path
from uuid import UUID

import pytest
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    look,
    patch,
    refused,
    rules,
)

SECTOR = 512
LINUX = UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
DISK = UUID("11111111-2222-3333-4444-555555555555")
Row = tuple[int, int, int]


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "a.raw"
    with path.open("wb") as stream:
        stream.truncate(64 * MIB)
    return path


def record(path: Path, at: int, *rows: Row) -> None:
    """A boot record with (type, first sector, sectors)."""
    for number, (kind, start, count) in enumerate(rows):
        patch(path, at * SECTOR + 446 + 16 * number, "<B3xB3xII", 0, kind, start, count)
    patch(path, at * SECTOR + 510, "2s", b"\x55\xaa")


def gpt(path: Path, *parts: tuple[int, int, str], sector: int = SECTOR, count: int = 128, size: int = 128) -> None:
    """Both headers and both tables with right checksums; parts are (first sector, last sector, name)."""
    record(path, 0, (0xEE, 1, 0xFFFFFFFF))
    last = path.stat().st_size // sector - 1
    table = b"".join(
        struct.pack("<16s16sQQQ72s", LINUX.bytes_le, DISK.bytes_le, start, end, 0, name.encode("utf-16-le")).ljust(
            size, b"\0"
        )
        for start, end, name in parts
    ).ljust(count * size, b"\0")
    blocks = -(-len(table) // sector)
    for at, other, place in ((1, last, 2), (last, 1, last - blocks)):
        fields = (at, other, 34, last - 34, DISK.bytes_le, place, count, size, zlib.crc32(table))
        header = struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, *fields)
        signed = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
        patch(path, at * sector, "92s", signed)
        patch(path, place * sector, f"{len(table)}s", table)


def test_primary_and_logical_partitions(path: Path) -> None:
    record(path, 0, (0x83, 2048, 20480), (0x0F, 30000, 80000))
    record(path, 30000, (0x82, 2048, 2048), (0x05, 8000, 4096))
    record(path, 38000, (0x83, 2000, 2048), (0, 0, 0))
    facts = look(path)
    assert facts.partition_table is not None and facts.partition_table["type"] == "mbr"
    assert [
        (one["number"], one["start"] // SECTOR, one["size"] // SECTOR, one["type"])
        for one in facts.partition_table["partitions"]
    ] == [
        (1, 2048, 20480, "0x83"),
        (2, 30000, 80000, "0x0f"),
        (5, 32048, 2048, "0x82"),
        (6, 40000, 2048, "0x83"),
    ]
    assert facts.findings == ()


@pytest.mark.parametrize("following", [0, 8000], ids=["at once", "later"])
def test_a_loop_of_boot_records_ends(path: Path, following: int) -> None:
    record(path, 0, (0x05, 30000, 80000))
    record(path, 30000, (0x83, 10, 10), (0x05, 8000, 10))
    record(path, 38000, (0x83, 10, 10), (0x05, following, 10))
    facts = look(path)
    assert (rules(facts) - {"unsound-partitions"}, refused(facts)) == (set(), set())
    assert facts.partition_table is not None and len(facts.partition_table["partitions"]) == 3


def test_endless_boot_records_end(path: Path) -> None:
    record(path, 0, (0x05, 1, 100000))
    for at in range(1, 1000):
        record(path, at, (0x83, 1, 1), (0x05, at, 10))
    facts = look(path)
    assert facts.partition_table is not None and len(facts.partition_table["partitions"]) <= 130
    assert rules(facts) == {"unsound-partitions"}


@pytest.mark.parametrize(
    "rows", [[(0x83, 2048, 1 << 30)], [(0x83, 2048, 100), (0x82, 2100, 100)]], ids=["past", "shared"]
)
def test_unsound_tables_are_a_warning(path: Path, rows: list[Row]) -> None:
    record(path, 0, *rows)
    facts = look(path)
    assert (rules(facts), refused(facts)) == ({"unsound-partitions"}, set())


def test_the_mark_of_a_file_system_is_no_table(path: Path) -> None:
    patch(path, 510, "2s", b"\x55\xaa")
    assert look(path).partition_table is None


@pytest.mark.parametrize("sector", [512, 4096])
def test_gpt(path: Path, sector: int) -> None:
    gpt(path, (2048, 4095, "root"), (4096, 6143, "Dätä"), sector=sector)
    facts = look(path)
    table = facts.partition_table or {}
    assert {key: table[key] for key in ("type", "sector_size", "disk_id", "primary", "backup")} == {
        "type": "gpt",
        "sector_size": sector,
        "disk_id": str(DISK),
        "primary": "valid",
        "backup": "valid",
    }
    assert [
        (one["number"], one["start"] // sector, one["size"] // sector, one["name"]) for one in table["partitions"]
    ] == [
        (1, 2048, 2048, "root"),
        (2, 4096, 2048, "Dätä"),
    ]
    assert table["partitions"][0]["type"] == str(LINUX) and facts.findings == ()


@pytest.mark.parametrize("which", ["primary", "backup"])
def test_one_damaged_header_is_enough_to_read(path: Path, which: str) -> None:
    gpt(path, (2048, 4095, "root"))
    patch(path, 512 + 40 if which == "primary" else -512 + 40, "<Q", 7)
    facts = look(path)
    table = facts.partition_table or {}
    assert (table[which], len(table["partitions"]), rules(facts)) == ("damaged", 1, {"unsound-partitions"})


def test_a_disk_that_was_made_larger(path: Path) -> None:
    gpt(path, (2048, 4095, "root"))
    with path.open("r+b") as stream:
        stream.truncate(80 * MIB)
    facts = look(path)
    assert ((facts.partition_table or {})["backup"], facts.findings) == ("not at the end", ())


def test_a_disk_that_was_cut(path: Path) -> None:
    gpt(path, (2048, 4095, "root"), (8192, 100000, "data"))
    with path.open("r+b") as stream:
        stream.truncate(8 * MIB)
    facts = look(path)
    assert (rules(facts), refused(facts)) == ({"unsound-partitions"}, set())


@pytest.mark.parametrize("number", [0xFFFFFFFF, 1 << 20])
@pytest.mark.parametrize("at", [80, 84])
def test_absurd_numbers_of_entries(path: Path, at: int, number: int) -> None:
    gpt(path, (2048, 4095, "root"))
    for start in (512, path.stat().st_size - 512):
        patch(path, start + at, "<I", number)
        patch(path, start + 16, "<I", 0)
        header = path.read_bytes()[start : start + 92]
        patch(path, start + 16, "<I", zlib.crc32(header))
    facts = look(path)
    assert (facts.partition_table or {})["partitions"] == [] and rules(facts) == {"unsound-partitions"}


def test_both_headers_damaged(path: Path) -> None:
    gpt(path, (2048, 4095, "root"))
    patch(path, 512 + 40, "<Q", 7)
    patch(path, -512 + 40, "<Q", 7)
    facts = look(path)
    assert ((facts.partition_table or {})["type"], rules(facts)) == ("mbr", {"unsound-partitions"})
