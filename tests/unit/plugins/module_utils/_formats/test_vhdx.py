# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.crc32c import crc32c
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    convert,
    create,
    disk,
    fetch,
    look,
    patch,
    qemu_info,
    refused,
    sign_vhdx,
)

# Where qemu-img puts things
REGION, METADATA = 192 * 1024, 3 * MIB
BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")


@pytest.fixture(name="image")
def image_fixture(tmp_path: Path) -> Path:
    return convert(disk(tmp_path / "a.raw", 24 * MIB), tmp_path / "a.vhdx", "vhdx")


def region(path: Path, key: uuid.UUID) -> int:
    """Where the entry of a region stands in the first region table."""
    return path.read_bytes()[:MIB].index(key.bytes_le, REGION)


def test_the_checksum_is_the_one_of_rfc_3720() -> None:
    assert (crc32c(bytes(32)), crc32c(b"\xff" * 32)) == (0x8A9136AA, 0x62A8AB43)


@pytest.mark.parametrize("size", ["1M", "100M", "3G", "300G"])
@pytest.mark.parametrize("options", ["subformat=dynamic", "block_size=1M", "block_size=256M", "log_size=4M"])
def test_every_kind_is_read_as_qemu_reads_it(tmp_path: Path, options: str, size: str) -> None:
    path = create(tmp_path / "a.vhdx", "vhdx", size, options)
    facts, info = look(path), qemu_info(path, "vhdx")
    assert (facts.format, facts.variant, facts.virtual_size) == ("vhdx", "dynamic", info["virtual-size"])
    assert (facts.cluster_size, facts.findings) == (info["cluster-size"], ())


@pytest.mark.parametrize("size", [24 * MIB, 5 * MIB + 512])
@pytest.mark.parametrize("options", ["subformat=dynamic", "subformat=fixed", "block_size=1M"])
def test_images_with_data_have_no_findings(tmp_path: Path, options: str, size: int) -> None:
    path = convert(disk(tmp_path / "a.raw", size), tmp_path / "a.vhdx", "vhdx", options)
    assert look(path, "vhdx").findings == ()


ATTACKS: list[tuple[str, int, str, tuple[Any, ...], set[str]]] = [
    ("log of another version", 65536 + 64, "<H", (1,), {"unsupported-variant"}),
    ("version 9", 65536 + 66, "<H", (9,), {"unsupported-variant"}),
    ("log past the end", 65536 + 72, "<Q", (1 << 40,), {"truncated"}),
    ("huge log", 65536 + 68, "<I", (0xFFF00000,), {"table-bounds"}),
    ("too many regions", REGION + 8, "<I", (0xFFFFFFFF,), {"absurd-size"}),
    ("no region", REGION + 8, "<I", (0,), {"malformed-header"}),
    ("region past the end", REGION + 16 + 16, "<Q", (1 << 40,), {"truncated"}),
    ("unaligned region", REGION + 16 + 16, "<Q", (4097,), {"table-bounds"}),
    ("too many items", METADATA + 10, "<H", (0xFFFF,), {"malformed-header"}),
    ("no metadata table", METADATA, "<8s", (b"nothing!",), {"malformed-header"}),
    ("item outside the region", METADATA + 32 + 16, "<I", (0xFFFFFFF0,), {"table-bounds"}),
]


@pytest.mark.parametrize(("what", "offset", "layout", "values", "expected"), ATTACKS, ids=[a[0] for a in ATTACKS])
def test_attacks_are_refused(
    image: Path, what: str, offset: int, layout: str, values: tuple[Any, ...], expected: set[str]
) -> None:
    for copy in (0, 65536) if offset < METADATA else (0,):
        patch(image, offset + copy, layout, *values)
    sign_vhdx(image)
    assert refused(look(image)) >= expected, what


def item(path: Path, name: str) -> int:
    """Where the data of a metadata item stand in the file."""
    table = path.read_bytes()[METADATA : METADATA + 65536]
    at = table.index(uuid.UUID(name).bytes_le)
    return METADATA + int.from_bytes(table[at + 16 : at + 20], "little")


PARAMETERS, SIZE = "caa16737-fa36-4d43-b3b6-33f0aa44e76b", "2fa54224-cd1b-4876-b211-5dbed83bf4b8"
SECTOR = "8141bf1d-a96f-4709-ba47-f233a8faab5f"


@pytest.mark.parametrize(
    ("name", "offset", "layout", "value", "expected"),
    [
        (PARAMETERS, 4, "<I", 2, "parent-file"),
        (PARAMETERS, 0, "<I", 3 * MIB, "malformed-header"),
        (PARAMETERS, 0, "<I", 0, "malformed-header"),
        (SECTOR, 0, "<I", 520, "malformed-header"),
        (SIZE, 0, "<Q", 1 << 62, "absurd-size"),
        (SIZE, 0, "<Q", 1 << 45, "table-bounds"),
        (SIZE, 0, "<Q", 513, "malformed-header"),
    ],
)
def test_attacks_in_the_metadata(image: Path, name: str, offset: int, layout: str, value: int, expected: str) -> None:
    patch(image, item(image, name) + offset, layout, value)
    assert expected in refused(look(image))


def test_an_unknown_required_region_is_refused(image: Path) -> None:
    for copy in (0, 65536):
        patch(image, REGION + copy + 8, "<I", 3)
        patch(image, REGION + copy + 16 + 64, "<16sQII", bytes(range(16)), 4 * MIB, MIB, 1)
    sign_vhdx(image)
    assert "unknown-feature" in refused(look(image))


def test_an_unknown_required_item_is_refused(image: Path) -> None:
    table = image.read_bytes()[METADATA : METADATA + 65536]
    at = METADATA + table.index(uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556").bytes_le)
    patch(image, at, "<16s", bytes(range(16)))
    assert "unknown-feature" in refused(look(image))


def test_a_dirty_log_is_refused_with_a_way_out(image: Path) -> None:
    for header in (65536, 131072):
        patch(image, header + 48, "<16s", b"0123456789abcdef")
    sign_vhdx(image)
    facts = look(image)
    assert (facts.dirty, refused(facts)) == (True, {"dirty-log"})
    assert "qemu-img check" in facts.findings[0].message


def test_one_damaged_header_is_enough_and_two_are_too_many(image: Path) -> None:
    patch(image, 65536 + 100, "B", 1)
    assert look(image).findings == ()
    patch(image, 131072 + 100, "B", 1)
    assert refused(look(image)) == {"checksum"}


def test_a_block_past_the_end_is_truncation(image: Path) -> None:
    (bat,) = fetch(image, region(image, BAT) + 16, "<Q")
    patch(image, bat, "<Q", 1 << 40 | 6)
    assert refused(look(image)) == {"truncated"}


def test_a_shared_block_is_a_bomb(image: Path) -> None:
    (bat,) = fetch(image, region(image, BAT) + 16, "<Q")
    patch(image, bat + 8, "<Q", *fetch(image, bat, "<Q"))
    assert "shared-table" in refused(look(image))
