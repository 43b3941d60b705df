# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VHD, VHDX and VDI images that must be refused."""

from __future__ import annotations

import struct
import uuid
from pathlib import Path
from typing import Callable

from ansible_collections.imageops.fleet.tests.corpus.catalogue import add_attack, attack
from ansible_collections.imageops.fleet.tests.corpus.patches import append, cut, patched, write
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    create,
    fetch,
    sign_vhd,
    sign_vhdx,
)

NUMBERS = "CVE-2014-0142 to 0147"
PARENT = "a differencing disk is read without its parent: wrong data"
SECTOR, MIB = 512, 1 << 20


def _fields(form: str, rows: tuple[tuple[str, int, str, object, str, str], ...], sign: Callable[[Path], None]) -> None:
    for name, offset, layout, value, rule, hole in rows:

        def make(shop: Shop, offset: int = offset, layout: str = layout, value: object = value) -> Path:
            path = patched(shop.image(form), offset, layout, value)
            if form == "vhd" and offset < SECTOR:
                patched(path, offset - SECTOR, layout, value)
            sign(path)
            return path

        add_attack(f"{form}-{name}", form, rule, hole, make)


def unsigned(path: Path) -> None:
    """A format without checksums."""


# Of the footer at the start; the copy at the end gets the same.
_fields(
    "vhd",
    (
        ("differencing", 60, ">I", 4, "parent-file", PARENT),
        ("type-7", 60, ">I", 7, "malformed-header", NUMBERS),
        ("version-2", 12, ">I", 0x20000, "unsupported-variant", "a version of the future"),
        ("fixed-at-the-start", 60, ">I", 2, "malformed-header", "two readings of one file"),
        ("header-past-the-end", 16, ">Q", 1 << 40, "truncated", NUMBERS),
        ("header-offset-overflow", 16, ">Q", (1 << 64) - 1, "truncated", NUMBERS),
        ("header-elsewhere", 16, ">Q", 4096, "malformed-header", NUMBERS),
        ("size-0", 56, ">I", 0, "absurd-size", NUMBERS),
        ("size-of-all-ones", 56, ">I", 0xFFFFFFFF, "table-bounds", NUMBERS),
        ("table-past-the-end", 528, ">Q", 1 << 40, "truncated", NUMBERS),
        ("table-too-small", 540, ">I", 1, "table-bounds", NUMBERS),
        ("table-of-16-gib", 540, ">I", 0xFFFFFFFF, "truncated", "CVE-2014-0144"),
        ("block-size-0", 544, ">I", 0, "malformed-header", "CVE-2014-0142: a division by zero"),
        ("block-size-no-power-of-two", 544, ">I", 3 << 20, "malformed-header", NUMBERS),
        ("block-size-huge", 544, ">I", 1 << 31, "malformed-header", NUMBERS),
        ("table-is-the-footer", 528, ">Q", 0, "truncated", "tables that are other structures"),
    ),
    sign_vhd,
)


def vhd_table(path: Path) -> int:
    return int(fetch(path, 528, ">Q")[0])


@attack("vhd", "checksum", "the format's own rule")
def vhd_with_a_wrong_footer(shop: Shop) -> Path:
    path = patched(shop.image("vhd"), 70, ">B", 99)
    return patched(path, -512 + 70, ">B", 99)


@attack("vhd", "header-mismatch", "readers see two disks")
def vhd_with_two_footers(shop: Shop) -> Path:
    path = patched(shop.image("vhd"), -512 + 48, ">Q", 1 << 30)
    sign_vhd(path)
    return path


@attack("vhd", "checksum", "the format's own rule")
def vhd_with_a_wrong_dynamic_header(shop: Shop) -> Path:
    return patched(shop.image("vhd"), 512 + 40, ">B", 99)


@attack("vhd", "truncated", "a download that was cut")
def vhd_cut(shop: Shop) -> Path:
    return cut(shop.image("vhd"), -70000)


@attack("vhd", "truncated", "a download that was cut")
def vhd_fixed_with_a_hole_in_front(shop: Shop) -> Path:
    path = shop.image("vhd", "subformat=fixed")
    data = path.read_bytes()
    path.write_bytes(data[65536:])
    return path


@attack("vhd", "shared-table", "an expansion bomb")
def vhd_one_block_for_all(shop: Shop) -> Path:
    path = create(shop.folder / "image", "vhd", "100G")
    table = vhd_table(path)
    append(path, bytes(4 * MIB))
    return write(path, table, struct.pack(">I", path.stat().st_size // SECTOR // 2) * 1000)


@attack("vhd", "table-overlap", "guest writes would reach the table")
def vhd_block_on_the_table(shop: Shop) -> Path:
    path = shop.image("vhd")
    return patched(path, vhd_table(path), ">I", 1)


@attack("vhd", "table-overlap", "guest writes would reach another block")
def vhd_blocks_on_each_other(shop: Shop) -> Path:
    path = shop.image("vhd")
    first = fetch(path, vhd_table(path), ">I")[0]
    return patched(path, vhd_table(path) + 4, ">I", first + 8)


@attack("vhd", "truncated", "QEMU delivers zeros for a lost block")
def vhd_block_past_the_end(shop: Shop) -> Path:
    path = shop.image("vhd")
    return patched(path, vhd_table(path), ">I", 0x7FFFFFFF)


@attack("raw", "second-signature", "CVE-2024-40767")
def vhd_fixed_declared_raw(shop: Shop) -> Path:
    return shop.image("vhd", "subformat=fixed")


@attack("raw", "second-signature", "CVE-2024-40767: only the footer tells")
def vhd_footer_behind_a_raw_disk(shop: Shop) -> Path:
    footer = shop.image("vhd", name="vhd").read_bytes()[-512:]
    return append(shop.image("raw"), footer)


HEADS, REGIONS = (65536, 131072), (196608, 262144)
BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08").bytes_le
METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e").bytes_le
ITEMS = {
    "parameters": uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le,
    "size": uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8").bytes_le,
    "sector": uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f").bytes_le,
}


def _vhdx(shop: Shop) -> Path:
    return shop.image("vhdx", "block_size=1M")


def _region(path: Path, key: bytes) -> int:
    """Where the entry of a region stands in the first table."""
    return REGIONS[0] + path.read_bytes()[REGIONS[0] : REGIONS[0] + 4096].index(key)


def _item(path: Path, name: str) -> tuple[int, int]:
    """Where the entry of a metadata item stands, and its value."""
    start = fetch(path, _region(path, METADATA) + 16, "<Q")[0]
    entry = start + path.read_bytes()[start : start + 65536].index(ITEMS[name])
    return entry, start + fetch(path, entry + 16, "<I")[0]


def _both(path: Path, places: tuple[int, int], at: int, layout: str, *values: object) -> Path:
    """The same in both copies of a structure, with right checksums."""
    for place in places:
        patched(path, place + at, layout, *values)
    sign_vhdx(path)
    return path


def _bat(path: Path) -> int:
    return int(fetch(path, _region(path, BAT) + 16, "<Q")[0])


@attack("vhdx", "parent-file", "QEMU refuses it, others read it without its parent")
def vhdx_differencing(shop: Shop) -> Path:
    path = _vhdx(shop)
    return patched(path, _item(path, "parameters")[1] + 4, "<I", 2)


@attack("vhdx", "dirty-log", "a log that was not replayed")
def vhdx_dirty_log(shop: Shop) -> Path:
    path, guid = _vhdx(shop), uuid.UUID(int=7).bytes_le
    log = fetch(path, HEADS[0] + 72, "<Q")[0] if fetch(path, HEADS[0] + 8, "<Q") else 0
    patched(path, log, "<4sIIIQII16s", b"loge", 0, 4096, 0, 1, 0, 0, guid)
    return _both(path, HEADS, 48, "16s", guid)


@attack("vhdx", "checksum", "the format's own rule")
def vhdx_both_headers_damaged(shop: Shop) -> Path:
    path = _vhdx(shop)
    for place in HEADS:
        patched(path, place + 100, "B", 1)
    return path


@attack("vhdx", "header-mismatch", "readers choose different headers")
def vhdx_two_newest_headers(shop: Shop) -> Path:
    path = _both(_vhdx(shop), HEADS, 8, "<Q", 5)
    patched(path, HEADS[0] + 16, "16s", b"x" * 16)
    sign_vhdx(path)
    return path


@attack("vhdx", "checksum", "the format's own rule")
def vhdx_region_table_damaged(shop: Shop) -> Path:
    return patched(_vhdx(shop), REGIONS[0] + 5000, "B", 1)


@attack("vhdx", "header-mismatch", "readers choose different region tables")
def vhdx_two_region_tables(shop: Shop) -> Path:
    path = patched(_vhdx(shop), REGIONS[1] + 5000, "B", 1)
    sign_vhdx(path)
    return path


@attack("vhdx", "unknown-feature", "the specification's rule")
def vhdx_unknown_region(shop: Shop) -> Path:
    path = _vhdx(shop)
    _both(path, REGIONS, 8, "<I", 3)
    return _both(path, REGIONS, 16 + 64, "<16sQII", b"q" * 16, 8 * MIB, MIB, 1)


@attack("vhdx", "unknown-feature", "the specification's rule")
def vhdx_unknown_metadata(shop: Shop) -> Path:
    path = _vhdx(shop)
    start = fetch(path, _region(path, METADATA) + 16, "<Q")[0]
    count = fetch(path, start + 10, "<H")[0]
    patched(path, start + 10, "<H", count + 1)
    return patched(path, start + 32 + 32 * count, "<16sIII", b"q" * 16, 65536, 8, 4)


@attack("vhdx", "absurd-size", NUMBERS)
def vhdx_regions_without_end(shop: Shop) -> Path:
    return _both(_vhdx(shop), REGIONS, 8, "<I", 0xFFFFFFFF)


@attack("vhdx", "table-bounds", NUMBERS)
def vhdx_region_on_the_header(shop: Shop) -> Path:
    path = _vhdx(shop)
    return _both(path, REGIONS, _region(path, BAT) - REGIONS[0] + 16, "<Q", 0)


@attack("vhdx", "table-overlap", "tables that are other structures")
def vhdx_regions_on_each_other(shop: Shop) -> Path:
    path = _vhdx(shop)
    metadata = fetch(path, _region(path, METADATA) + 16, "<Q")[0]
    return _both(path, REGIONS, _region(path, BAT) - REGIONS[0] + 16, "<Q", metadata)


@attack("vhdx", "truncated", NUMBERS)
def vhdx_region_past_the_end(shop: Shop) -> Path:
    path = _vhdx(shop)
    return _both(path, REGIONS, _region(path, BAT) - REGIONS[0] + 16, "<Q", 1 << 40)


@attack("vhdx", "malformed-header", NUMBERS)
def vhdx_without_metadata(shop: Shop) -> Path:
    return _both(_vhdx(shop), REGIONS, 8, "<I", 0)


@attack("vhdx", "table-bounds", NUMBERS)
def vhdx_log_overflow(shop: Shop) -> Path:
    return _both(_vhdx(shop), HEADS, 68, "<I", 0xFFF00000)


@attack("vhdx", "unsupported-variant", "a version of the future")
def vhdx_version_2(shop: Shop) -> Path:
    return _both(_vhdx(shop), HEADS, 66, "<H", 2)


def _vhdx_items() -> None:
    rows = (
        ("block-size-0", "parameters", 0, "<I", 0, "malformed-header", "CVE-2014-0142: a division by zero"),
        ("block-size-3-mib", "parameters", 0, "<I", 3 * MIB, "malformed-header", NUMBERS),
        ("block-size-huge", "parameters", 0, "<I", 1 << 31, "malformed-header", NUMBERS),
        ("sector-size-0", "sector", 0, "<I", 0, "malformed-header", "CVE-2014-0142: a division by zero"),
        ("sector-size-4096", "sector", 0, "<I", 4096, "unsupported-variant", "QEMU reads it wrong or not at all"),
        ("size-overflow", "size", 0, "<Q", 1 << 63, "absurd-size", NUMBERS),
        ("size-of-half-a-sector", "size", 0, "<Q", 3 * MIB - 256, "malformed-header", NUMBERS),
        ("size-0", "size", 0, "<Q", 0, "malformed-header", NUMBERS),
        ("size-larger-than-its-table", "size", 0, "<Q", 1 << 45, "table-bounds", NUMBERS),
    )
    for name, item, at, layout, value, rule, hole in rows:

        def make(shop: Shop, item: str = item, at: int = at, layout: str = layout, value: int = value) -> Path:
            path = _vhdx(shop)
            return patched(path, _item(path, item)[1] + at, layout, value)

        add_attack(f"vhdx-{name}", "vhdx", rule, hole, make)


_vhdx_items()


@attack("vhdx", "table-bounds", NUMBERS)
def vhdx_item_outside(shop: Shop) -> Path:
    path = _vhdx(shop)
    return patched(path, _item(path, "size")[0] + 16, "<I", 0xFFFFFFF0)


@attack("vhdx", "truncated", "QEMU delivers zeros for a lost block")
def vhdx_block_past_the_end(shop: Shop) -> Path:
    path = _vhdx(shop)
    return patched(path, _bat(path), "<Q", 1 << 40 | 6)


@attack("vhdx", "shared-table", "an expansion bomb")
def vhdx_one_block_for_all(shop: Shop) -> Path:
    path = _vhdx(shop)
    return write(path, _bat(path), struct.pack("<Q", fetch(path, _bat(path), "<Q")[0]) * 3)


@attack("vhdx", "table-overlap", "guest writes would reach the table")
def vhdx_block_on_the_table(shop: Shop) -> Path:
    path = _vhdx(shop)
    return patched(path, _bat(path), "<Q", _bat(path) | 6)


@attack("vhdx", "table-bounds", "a state that needs a parent")
def vhdx_block_partly_present(shop: Shop) -> Path:
    path = _vhdx(shop)
    return patched(path, _bat(path), "<Q", fetch(path, _bat(path), "<Q")[0] | 7)


@attack("vhdx", "truncated", "a download that was cut")
def vhdx_cut(shop: Shop) -> Path:
    return cut(_vhdx(shop), -2 * MIB)


@attack("raw", "second-signature", "CVE-2024-40767")
def vhdx_declared_raw(shop: Shop) -> Path:
    return _vhdx(shop)


_fields(
    "vdi",
    (
        ("differencing", 0x4C, "<I", 4, "parent-file", PARENT),
        ("undo", 0x4C, "<I", 3, "parent-file", PARENT),
        ("with-a-parent", 0x1B8, "16s", b"p" * 16, "parent-file", PARENT),
        ("with-a-link", 0x1A8, "16s", b"p" * 16, "parent-file", PARENT),
        ("type-9", 0x4C, "<I", 9, "malformed-header", NUMBERS),
        ("version-2", 0x44, "<I", 0x20000, "malformed-header", NUMBERS),
        ("map-in-the-header", 0x154, "<I", 0, "malformed-header", NUMBERS),
        ("map-unaligned", 0x154, "<I", 513, "malformed-header", NUMBERS),
        ("map-past-the-end", 0x154, "<I", 0x7FFFFE00, "malformed-header", NUMBERS),
        ("data-on-the-map", 0x158, "<I", 512, "malformed-header", "guest writes would reach the table"),
        ("data-unaligned", 0x158, "<I", 1000001, "malformed-header", NUMBERS),
        ("sector-size-0", 0x168, "<I", 0, "malformed-header", NUMBERS),
        ("size-overflow", 0x170, "<Q", 1 << 63, "malformed-header", NUMBERS),
        ("block-size-0", 0x178, "<I", 0, "malformed-header", "CVE-2014-0142: a division by zero"),
        ("block-size-64-mib", 0x178, "<I", 1 << 26, "malformed-header", NUMBERS),
        ("block-extra", 0x17C, "<I", 512, "malformed-header", NUMBERS),
        ("blocks-too-few", 0x180, "<I", 1, "malformed-header", NUMBERS),
        ("blocks-overflow", 0x180, "<I", 0xFFFFFFFF, "malformed-header", "CVE-2014-0144"),
    ),
    unsigned,
)


def _vdi_map(path: Path) -> int:
    return int(fetch(path, 0x154, "<I")[0])


@attack("vdi", "table-bounds", "CVE-2014-0144")
def vdi_block_that_is_not_there(shop: Shop) -> Path:
    path = shop.image("vdi")
    return patched(path, _vdi_map(path), "<I", 1 << 20)


@attack("vdi", "shared-table", "an expansion bomb")
def vdi_one_block_for_all(shop: Shop) -> Path:
    path = shop.image("vdi")
    return patched(path, _vdi_map(path), "<III", 0, 0, 0)


@attack("vdi", "truncated", "a download that was cut")
def vdi_cut(shop: Shop) -> Path:
    return cut(shop.image("vdi"), -4096)


@attack("raw", "second-signature", "CVE-2024-40767")
def vdi_declared_raw(shop: Shop) -> Path:
    return shop.image("vdi")
