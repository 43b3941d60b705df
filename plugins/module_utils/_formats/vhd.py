# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VHD, which QEMU calls vpc: fixed (footer only), dynamic and differencing disks.

After Microsoft's Virtual Hard Disk Image Format Specification 1.0.

Footer (512 bytes, big endian)           Dynamic header (1024 bytes, big endian)
     0     8  "conectix"                      0     8  "cxsparse"
    16     8  offset of dynamic header       16     8  block table offset
    28     4  creator application            28     4  block table entries
    40     8  original size                  32     4  block size
    48     8  current size                   36     4  checksum
    56     4  cylinders, heads, sectors      40    16  parent's unique id
    60     4  type: 2 fixed, 3 dynamic,      64   512  parent's name, UTF-16
              4 differencing
    64     4  checksum
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from .facts import Draft
from .reader import (
    MAP_BUDGET,
    SECTOR,
    Malformed,
    Reader,
    check_capacity,
    check_end,
    check_virtual_size,
    entries,
    power_of_two,
    unchecked,
)
from .rules import finding
from .signatures import VHD, vhd_footers
from .vhd_parent import parent_of
from .vhd_places import check_places

SPARSE_COOKIE = b"cxsparse"
LAYOUT = ">8sIIQI4sI4sQQHBBII16sB"
SPARSE_LAYOUT = ">8sQQIIII"
SPARSE_SIZE = 1024
VERSION = 0x00010000
VARIANTS = {2: "fixed", 3: "dynamic", 4: "differencing"}
UNUSED = 0xFFFFFFFF
CHECKSUM_AT, SPARSE_CHECKSUM_AT = 64, 36
# For Virtual PC and QEMU without force_size the geometry is the size, for all others the size field, as in QEMU from 10.0 on.
# QEMU before that knew a few of the others, and reads the disks of the rest (Azure's, say) too short.
GEOMETRY_CREATORS = (b"vpc ", b"qemu")
MAX_GEOMETRY_SECTORS = 65535 * 16 * 255
MAX_SECTORS = 0xFF000000
# Larger blocks are in no specification; VHDX ends there too.
MAX_BLOCK = 256 << 20


@dataclass(frozen=True)
class Footer:
    """The fields of the footer."""

    cookie: bytes
    features: int
    version: int
    data_offset: int
    timestamp: int
    creator: bytes
    creator_version: int
    creator_os: bytes
    original_size: int
    current_size: int
    cylinders: int
    heads: int
    sectors: int
    kind: int
    checksum: int
    unique_id: bytes
    saved_state: int

    @property
    def virtual_size(self) -> int:
        """The size in bytes: by geometry for some creators, unless it is the largest geometry, else the size field."""
        if self.by_geometry:
            return self.geometry_sectors * SECTOR
        return self.current_size // SECTOR * SECTOR

    @property
    def geometry_sectors(self) -> int:
        """The sectors that the geometry reaches."""
        return self.cylinders * self.heads * self.sectors

    @property
    def by_geometry(self) -> bool:
        """Whether the geometry is the size."""
        return self.creator in GEOMETRY_CREATORS and self.geometry_sectors != MAX_GEOMETRY_SECTORS


def valid_footer_at_end(image: Reader) -> bool:
    """Whether the last sector is a footer with a right checksum, not just eight letters of guest data."""
    data = image.upto(image.size - SECTOR, SECTOR)
    return data[:8] == VHD and _sum(data, CHECKSUM_AT) == int.from_bytes(data[64:68], "big")


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from footer, dynamic header and block table."""
    places = vhd_footers(image)
    if not places:
        raise Malformed("truncated", "The file has no VHD footer; get the file again.")
    data = image.exact(places[0], SECTOR, what="VHD footer")
    footer = Footer(*image.unpack(LAYOUT, places[0], what="VHD footer"))
    _describe(draft, footer)
    _check(draft, data, CHECKSUM_AT, footer.checksum, what="footer")
    if footer.kind not in VARIANTS or (footer.kind == 2) != (places[0] != 0):
        raise Malformed("malformed-header", f"A VHD footer of type {footer.kind} at byte {places[0]} is not allowed.")
    if footer.version != VERSION:
        raise Malformed("unsupported-variant", f"The VHD has format version {footer.version:#x}; only 1.0 is known.")
    if footer.kind == 2:
        check_end(image, draft, end=draft.virtual_size + SECTOR, what="fixed VHD")
        return
    if places[-1] == 0:
        draft.findings.append(
            finding("truncated", "The copy of the VHD footer at the end is missing; get the file again.")
        )
    elif image.upto(places[-1], SECTOR) != data:
        draft.findings.append(finding("header-mismatch", "The two footers of the VHD disagree; get the image again."))
    draft.header_area = SECTOR
    _parse_dynamic(image, draft, footer)


def _describe(draft: Draft, footer: Footer) -> None:
    draft.variant = VARIANTS.get(footer.kind)
    draft.virtual_size = footer.virtual_size
    draft.dirty = bool(footer.saved_state)
    draft.header = {
        "creator": footer.creator.decode("latin-1").rstrip(" \0"),
        "creator_version": footer.creator_version,
        "creator_os": footer.creator_os.decode("latin-1").rstrip(" \0"),
        "timestamp": footer.timestamp,
        "size_by_geometry": footer.by_geometry,
        "current_size": footer.current_size,
        "original_size": footer.original_size,
        "geometry": [footer.cylinders, footer.heads, footer.sectors],
        "features": footer.features,
        "version": footer.version,
        "unique_id": str(uuid.UUID(bytes=footer.unique_id)),
        "saved_state": bool(footer.saved_state),
    }
    if footer.kind == 4:
        draft.findings.append(
            finding(
                "parent-file",
                "A differencing VHD: QEMU reads it without its parent, wrong data; "
                "merge it into its parent on the host that made it.",
            )
        )
    if not 0 < draft.virtual_size // SECTOR <= MAX_SECTORS:
        raise Malformed("absurd-size", f"The VHD claims {draft.virtual_size} bytes; a VHD has at most 2040 GiB.")


def _sum(data: bytes, checksum_at: int) -> int:
    """One's complement of the sum of all bytes, the checksum itself left out."""
    return ~(sum(data) - sum(data[checksum_at : checksum_at + 4])) & 0xFFFFFFFF


def _check(draft: Draft, data: bytes, checksum_at: int, wanted: int, *, what: str) -> None:
    if _sum(data, checksum_at) != wanted:
        draft.findings.append(finding("checksum", f"The checksum of the VHD {what} is wrong; get the file again."))


def _parse_dynamic(image: Reader, draft: Draft, footer: Footer) -> None:
    data = image.exact(footer.data_offset, SPARSE_SIZE, what="dynamic VHD header")
    cookie, _next, table, _version, count, block, checksum = image.unpack(
        SPARSE_LAYOUT, footer.data_offset, what="dynamic VHD header"
    )
    if cookie != SPARSE_COOKIE:
        raise Malformed("malformed-header", f"There is no dynamic VHD header at byte {footer.data_offset}.")
    _check(draft, data, SPARSE_CHECKSUM_AT, checksum, what="dynamic header")
    if not power_of_two(block) or not SECTOR <= block <= MAX_BLOCK:
        raise Malformed("malformed-header", f"The VHD gives a block size of {block} bytes.")
    draft.cluster_size = block
    if count * block < draft.virtual_size:
        raise Malformed(
            "table-bounds", f"The block table of {count} entries is too small for {draft.virtual_size} bytes."
        )
    if count * 4 > MAP_BUDGET:
        unchecked(draft, what="block table")
    draft.header.update(parent=parent_of(image, data) if footer.kind == 4 else None, table_entries=count)
    check_virtual_size(draft)
    own = [(0, SECTOR), (footer.data_offset, SPARSE_SIZE), (table, count * 4)]
    _walk(image, draft, own)


def _walk(image: Reader, draft: Draft, own: list[tuple[int, int]]) -> None:
    """A used entry is the sector of a block's bitmap, the block's data follow it; `own` are headers and table."""
    block, (table, length) = draft.cluster_size or 0, own[-1]
    bitmap = -(-(block // SECTOR // 8) // SECTOR) * SECTOR
    areas = [(at // SECTOR, -(-(at % SECTOR + size) // SECTOR)) for at, size in own]
    last, stored, seen = -1, 0, 0
    # Piece by piece, so that the largest table needs little memory; blocks shared between pieces exceed the capacity.
    for data in image.chunks(table, min(length, MAP_BUDGET), what="block table"):
        values = entries(data, code="I", big_endian=True)
        used = set(values) - {UNUSED}
        last, seen = max(used | {last}), seen + len(used)
        stored += len(values) - values.count(UNUSED)
        check_places(draft, used, length=(bitmap + block) // SECTOR, areas=areas, what="block table")
    if stored > seen:
        draft.findings.append(finding("shared-table", "Entries of the block table share blocks, an expansion bomb."))
    if last >= 0:
        check_end(image, draft, end=last * SECTOR + bitmap + block, what="last block")
        check_capacity(draft, stored=stored * block, available=image.size)
