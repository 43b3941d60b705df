# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

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
    qemu_info,
    qemu_version,
    refused,
    sign_vhd,
)

OPTIONS = ["subformat=dynamic", "subformat=fixed", "subformat=dynamic,force_size=on", "subformat=fixed,force_size=on"]


@pytest.fixture(name="image")
def image_fixture(tmp_path: Path) -> Path:
    return convert(disk(tmp_path / "a.raw", 6 * MIB), tmp_path / "a.vhd", "vhd")


@pytest.mark.parametrize("size", ["1M", "3000K", "100M", "3G"])
@pytest.mark.parametrize("options", OPTIONS)
def test_every_kind_is_read_as_qemu_reads_it(tmp_path: Path, options: str, size: str) -> None:
    path = create(tmp_path / "a.vhd", "vhd", size, options)
    facts = look(path)
    assert (facts.format, facts.virtual_size) == ("vhd", qemu_info(path, "vhd")["virtual-size"])
    assert (f"subformat={facts.variant}" in options, facts.findings) == (True, ())


@pytest.mark.parametrize(
    "creator", [b"vpc ", b"vs  ", b"qemu", b"qem2", b"win ", b"d2v ", b"tap\0", b"CTXS", b"wa\0\0"]
)
@pytest.mark.parametrize("geometry", [(300, 4, 17), (65535, 16, 255)])
def test_the_size_rule_of_every_creator_is_qemus(
    tmp_path: Path, creator: bytes, geometry: tuple[int, int, int]
) -> None:
    path = create(tmp_path / "a.vhd", "vhd", "100M", "subformat=dynamic,force_size=on")
    for start in (0, -512):
        patch(path, start + 28, ">4s", creator)
        patch(path, start + 56, ">HBB", *geometry)
    sign_vhd(path)
    facts = look(path)
    # QEMU before 10.0 reads disks of these creators too short.
    misread = creator in (b"vs  ", b"wa\0\0") and qemu_version() < (10,)
    size = 100 * MIB if misread else qemu_info(path, "vhd")["virtual-size"]
    assert (facts.virtual_size, facts.findings) == (size, ())


@pytest.mark.parametrize("options", OPTIONS)
def test_images_with_data_have_no_findings(tmp_path: Path, options: str) -> None:
    path = convert(disk(tmp_path / "a.raw", 6 * MIB + 1536), tmp_path / "a.vhd", "vhd", options)
    assert look(path, "vpc").findings == ()


ATTACKS: list[tuple[str, int, str, tuple[Any, ...], set[str]]] = [
    ("differencing", 60, ">I", (4,), {"parent-file"}),
    ("unknown type", 60, ">I", (9,), {"malformed-header"}),
    ("dynamic header past the end", 16, ">Q", (1 << 60,), {"truncated"}),
    ("no dynamic header there", 16, ">Q", (1536,), {"malformed-header"}),
    ("absurd size", 48, ">Q", (1 << 60,), {"absurd-size"}),
    ("table past the end", 512 + 16, ">Q", (1 << 60,), {"truncated"}),
    ("table too small", 512 + 28, ">I", (0,), {"table-bounds"}),
    ("table of 16 GiB", 512 + 28, ">I", (0xFFFFFFFF,), {"truncated"}),
    ("block size 3", 512 + 32, ">I", (3,), {"malformed-header"}),
    ("block size 0", 512 + 32, ">I", (0,), {"malformed-header"}),
]


@pytest.mark.parametrize(("what", "offset", "layout", "values", "expected"), ATTACKS, ids=[a[0] for a in ATTACKS])
def test_attacks_are_refused(
    image: Path, what: str, offset: int, layout: str, values: tuple[Any, ...], expected: set[str]
) -> None:
    for start in (0, -512) if offset < 512 else (0,):
        patch(image, start + 28, ">4s", b"win ")
        patch(image, start + offset, layout, *values)
    sign_vhd(image)
    assert refused(look(image)) >= expected, what


@pytest.mark.parametrize("offset", [70, 600], ids=["footer", "dynamic header"])
def test_a_flipped_bit_breaks_the_checksum(image: Path, offset: int) -> None:
    patch(image, offset, "B", fetch(image, offset, "B")[0] ^ 1)
    assert "checksum" in refused(look(image))


def test_both_footers_must_agree(image: Path) -> None:
    patch(image, -512 + 48, ">Q", 1 << 40)
    assert refused(look(image)) == {"header-mismatch"}


def test_a_missing_last_footer_is_truncation(image: Path) -> None:
    image.write_bytes(image.read_bytes()[:-512])
    assert refused(look(image)) == {"truncated"}


def test_a_block_past_the_end_is_truncation(image: Path) -> None:
    patch(image, 1536, ">I", 1 << 30)
    assert refused(look(image)) == {"truncated"}


def test_a_shared_block_is_a_bomb(image: Path) -> None:
    (block,) = fetch(image, 1536, ">I")
    patch(image, 1536, ">3I", block, block, block)
    assert "shared-table" in refused(look(image))


def test_a_cut_fixed_disk_is_truncation(tmp_path: Path) -> None:
    path = create(tmp_path / "a.vhd", "vhd", "3M", "subformat=fixed")
    data = path.read_bytes()
    path.write_bytes(data[:MIB] + data[-512:])
    assert refused(look(path)) == {"truncated"}


def test_another_header_in_a_fixed_disk_is_seen(tmp_path: Path) -> None:
    """What a guest writes at its start stands at the start of the file."""
    path = create(tmp_path / "a.vhd", "vhd", "3M", "subformat=fixed")
    patch(path, 0, ">4sI", b"QFI\xfb", 3)
    assert refused(look(path, "vhd")) == {"second-signature"}


def test_another_version_of_the_format_is_refused(image: Path) -> None:
    for start in (0, -512):
        patch(image, start + 12, ">I", 0x00020000)
    sign_vhd(image)
    assert refused(look(image)) == {"unsupported-variant"}


@pytest.mark.parametrize(("entry", "rule"), [(0, "table-overlap"), (2, "table-overlap"), (3, "table-overlap")])
def test_a_block_on_headers_or_table_is_refused(image: Path, entry: int, rule: str) -> None:
    (table,) = fetch(image, 512 + 16, ">Q")
    patch(image, table, ">I", entry)
    assert rule in refused(look(image))


def test_blocks_that_lie_on_each_other_are_refused(image: Path) -> None:
    (table,) = fetch(image, 512 + 16, ">Q")
    first = min(fetch(image, table, ">3I"))
    patch(image, table, ">2I", first, first + 8)
    assert "table-overlap" in refused(look(image))


def test_the_parent_of_a_differencing_disk_is_told(image: Path) -> None:
    for start in (0, -512):
        patch(image, start + 60, ">I", 4)
    path = "..\\p\u00e4rent.vhd".encode("utf-16-le")
    name = "p\u00e4rent.vhd".encode("utf-16-be")
    identity = bytes(range(16))
    patch(image, 512 + 40, f">16sII{len(name)}s", identity, 1234, 0, name)
    with image.open("r+b") as stream:
        footer = image.read_bytes()[-512:]
        stream.seek(-512, 2)
        at = stream.tell()
        stream.write(path.ljust(512, b"\0") + footer)
    patch(image, 512 + 576, ">4sIIIQ", b"W2ru", 1, len(path), 0, at)
    sign_vhd(image)
    facts = look(image)
    assert (facts.variant, refused(facts)) == ("differencing", {"parent-file"})
    assert facts.header["parent"] == {
        "name": "p\u00e4rent.vhd",
        "id": "00010203-0405-0607-0809-0a0b0c0d0e0f",
        "timestamp": 1234,
        "locators": [{"kind": "relative", "path": "..\\p\u00e4rent.vhd"}],
    }


def test_a_huge_parent_locator_is_refused(image: Path) -> None:
    for start in (0, -512):
        patch(image, start + 60, ">I", 4)
    patch(image, 512 + 576, ">4sIIIQ", b"W2ku", 1, 1 << 30, 0, 0)
    sign_vhd(image)
    assert "absurd-size" in refused(look(image))


def test_disks_of_azure_and_hyper_v_have_their_size_field(tmp_path: Path) -> None:
    path = create(tmp_path / "a.vhd", "vhd", "32M", "subformat=fixed,force_size=on")
    patch(path, -512 + 28, ">4sI4s", b"wa\0\0", 0x000A0000, b"Wi2k")
    sign_vhd(path)
    facts = look(path)
    assert (facts.virtual_size, facts.findings, facts.header["creator_os"]) == (32 * MIB, (), "Wi2k")
    assert facts.header["size_by_geometry"] is False
