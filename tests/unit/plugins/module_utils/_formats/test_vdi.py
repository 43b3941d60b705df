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
    refused,
)


@pytest.fixture(name="image")
def image_fixture(tmp_path: Path) -> Path:
    return convert(disk(tmp_path / "a.raw", 6 * MIB), tmp_path / "a.vdi", "vdi")


@pytest.mark.parametrize("size", ["512", "1536", "1M", "3G", "10T"])
@pytest.mark.parametrize("static", ["off", "on"])
def test_every_kind_is_read_as_qemu_reads_it(tmp_path: Path, static: str, size: str) -> None:
    if (static, size) == ("on", "10T"):
        size = "2M"
    path = create(tmp_path / "a.vdi", "vdi", size, f"static={static}")
    facts = look(path)
    assert (facts.format, facts.virtual_size) == ("vdi", qemu_info(path, "vdi")["virtual-size"])
    assert (facts.variant, refused(facts)) == ("static" if static == "on" else "dynamic", set())


@pytest.mark.parametrize("size", [6 * MIB, 5 * MIB + 1536])
@pytest.mark.parametrize("static", ["off", "on"])
def test_images_with_data_have_no_findings(tmp_path: Path, static: str, size: int) -> None:
    path = convert(disk(tmp_path / "a.raw", size), tmp_path / "a.vdi", "vdi", f"static={static}")
    assert look(path, "vdi").findings == ()


ATTACKS: list[tuple[str, int, str, tuple[Any, ...], set[str]]] = [
    ("version 9", 0x44, "<I", (9,), {"malformed-header"}),
    ("differencing", 0x4C, "<I", (4,), {"parent-file"}),
    ("unknown type", 0x4C, "<I", (9,), {"malformed-header"}),
    ("map past the end", 0x154, "<II", (0x40000000, 0x80000000), {"truncated"}),
    ("map on the header", 0x154, "<I", (0,), {"malformed-header"}),
    ("data before the map's end", 0x158, "<I", (512,), {"malformed-header"}),
    ("sectors of 4096 bytes", 0x168, "<I", (4096,), {"malformed-header"}),
    ("absurd size", 0x170, "<Q", (1 << 62,), {"malformed-header"}),
    ("odd block size", 0x178, "<I", (3,), {"malformed-header"}),
    ("extra bytes", 0x17C, "<I", (512,), {"malformed-header"}),
    ("too many blocks", 0x180, "<I", (0xFFFFFFFF,), {"malformed-header"}),
    ("fewer blocks than the size", 0x180, "<I", (1,), {"malformed-header"}),
    ("linked image", 0x1A8, "<16s", (b"0123456789abcdef",), {"parent-file"}),
    ("parent", 0x1B8, "<16s", (b"0123456789abcdef",), {"parent-file"}),
    ("block past the end", 0x200, "<I", (1 << 24,), {"truncated"}),
]


@pytest.mark.parametrize(("what", "offset", "layout", "values", "expected"), ATTACKS, ids=[a[0] for a in ATTACKS])
def test_attacks_are_refused(
    image: Path, what: str, offset: int, layout: str, values: tuple[Any, ...], expected: set[str]
) -> None:
    patch(image, offset, layout, *values)
    assert refused(look(image)) >= expected, what


def test_a_shared_block_is_a_bomb(image: Path) -> None:
    (table,) = fetch(image, 0x154, "<I")
    patch(image, table, "<3I", 0, 0, 0)
    assert "shared-table" in refused(look(image))


def test_a_block_beyond_the_number_of_blocks_is_refused(image: Path) -> None:
    (table,) = fetch(image, 0x154, "<I")
    patch(image, table, "<I", 6)
    assert "table-bounds" in refused(look(image))


@pytest.mark.parametrize(("kind", "variant"), [(3, "undo"), (4, "differencing")])
def test_the_parent_is_told_by_its_id(image: Path, kind: int, variant: str) -> None:
    patch(image, 0x4C, "<I", kind)
    patch(image, 0x188 + 32, "<16s16s", b"\x33\x22\x11\x00" + bytes(range(12)), b"\x44\x33\x22\x11" + bytes(range(12)))
    facts = look(image)
    assert (facts.variant, refused(facts)) == (variant, {"parent-file"})
    assert facts.header["parent_id"] == "11223344-0100-0302-0405-060708090a0b"
    assert facts.header["link_id"] == "00112233-0100-0302-0405-060708090a0b"


@pytest.mark.parametrize("block", [64 << 10, 2 << 20])
def test_blocks_that_qemu_does_not_read_are_told(image: Path, block: int) -> None:
    patch(image, 0x178, "<I", block)
    facts = look(image)
    assert (facts.cluster_size, refused(facts)) == (block, {"malformed-header"})
