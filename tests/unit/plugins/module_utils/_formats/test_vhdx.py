# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
import subprocess
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
    qemu_img,
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


LOG_ID = b"0123456789abcdef"


def with_log(path: Path, *, entry: bytes) -> Path:
    """A file of a session that was not closed; its log holds one entry."""
    for header in (65536, 131072):
        patch(path, header + 48, "<16s", LOG_ID)
    sign_vhdx(path)
    size = path.stat().st_size
    data = bytearray(struct.pack("<4sIIIQII16sQQ", b"loge", 0, 4096, 0, 7, 0, 0, entry, size, size).ljust(4096, b"\0"))
    data[4:8] = crc32c(bytes(data)).to_bytes(4, "little")
    patch(path, fetch(path, 65536 + 72, "<Q")[0], "4096s", bytes(data))
    return path


def test_a_log_with_entries_is_refused_with_a_way_out(image: Path) -> None:
    facts = look(with_log(image, entry=LOG_ID))
    assert (facts.dirty, facts.header["log_entries"], refused(facts)) == (True, 1, {"dirty-log"})
    assert "qemu-img check" in facts.findings[0].message
    with pytest.raises(subprocess.CalledProcessError):
        qemu_info(image, "vhdx")
    qemu_img("check", "-q", "-f", "vhdx", "-r", "all", str(image))
    assert look(image).findings == ()


def test_a_log_without_entries_of_its_session_is_nothing(image: Path) -> None:
    facts = look(with_log(image, entry=b"another session!"))
    assert (facts.dirty, facts.findings) == (False, ())
    assert qemu_info(image, "vhdx")["virtual-size"] == facts.virtual_size


def test_sectors_of_4096_bytes_are_told_and_refused_as_by_qemu(image: Path) -> None:
    patch(image, item(image, SECTOR), "<I", 4096)
    facts = look(image)
    assert (facts.header["logical_sector_size"], refused(facts)) == (4096, {"unsupported-variant"})
    with pytest.raises(subprocess.CalledProcessError):
        qemu_info(image, "vhdx")


def test_two_newest_headers_are_refused(image: Path) -> None:
    (sequence,) = fetch(image, 65536 + 8, "<Q")
    for header, name in ((65536, bytes(16)), (131072, bytes(range(16)))):
        patch(image, header + 8, "<Q16s", sequence, name)
    sign_vhdx(image)
    assert refused(look(image)) == {"header-mismatch"}


def test_region_tables_that_disagree_are_refused(image: Path) -> None:
    patch(image, REGION + 65536 + 16 + 28, "<I", 1)
    sign_vhdx(image)
    assert "header-mismatch" in refused(look(image))


@pytest.mark.parametrize("state", [4, 7])
def test_states_that_a_block_cannot_have_are_refused(image: Path, state: int) -> None:
    (bat,) = fetch(image, region(image, BAT) + 16, "<Q")
    (entry,) = fetch(image, bat, "<Q")
    patch(image, bat, "<Q", entry & ~7 | state)
    assert "table-bounds" in refused(look(image))


def test_a_block_on_the_log_is_refused(image: Path) -> None:
    (bat,) = fetch(image, region(image, BAT) + 16, "<Q")
    patch(image, bat, "<Q", fetch(image, 65536 + 72, "<Q")[0] | 6)
    assert "table-overlap" in refused(look(image))


def with_parent(path: Path, told: dict[str, str], *, count: int | None = None) -> Path:
    """A differencing disk: its parameters say so, and the physical sector size gives its place to a parent locator."""
    rows, texts = b"", b""
    base = 20 + 12 * len(told)
    for key, value in told.items():
        key_text, value_text = key.encode("utf-16-le"), value.encode("utf-16-le")
        at = base + len(texts)
        rows += struct.pack("<IIHH", at, at + len(key_text), len(key_text), len(value_text))
        texts += key_text + value_text
    kind = uuid.UUID("b04aefb7-d19e-4a81-b789-25b8e9445913").bytes_le
    locator = kind + struct.pack("<HH", 0, len(told) if count is None else count) + rows + texts
    table = path.read_bytes()[METADATA : METADATA + 65536]
    entry = METADATA + 32 + 32 * int.from_bytes(table[10:12], "little")
    patch(path, METADATA + 10, "<H", int.from_bytes(table[10:12], "little") + 1)
    patch(path, entry, "<16sIII", uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le, 0x18000, len(locator), 4)
    patch(path, METADATA + 0x18000, f"{len(locator)}s", locator)
    patch(path, item(path, PARAMETERS) + 4, "<I", 2)
    return path


def test_the_parent_of_a_differencing_disk_is_told(image: Path) -> None:
    told = {"parent_linkage": "{83ed7da9-11b7-4f6c-a1d6-b4b2c7e6c0a1}", "relative_path": ".\\p\u00e4rent.vhdx"}
    facts = look(with_parent(image, told))
    assert (facts.variant, refused(facts)) == ("differencing", {"parent-file"})
    assert {key: value for key, value in facts.header["parent"].items() if value} == told


def test_a_locator_of_many_entries_is_refused(image: Path) -> None:
    assert "table-bounds" in refused(look(with_parent(image, {"relative_path": "x"}, count=9999)))


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
