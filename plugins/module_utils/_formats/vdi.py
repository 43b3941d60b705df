# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VDI: VirtualBox' own header, VDIHEADER1 and VDIHEADER1PLUS of its source (src/VBox/Storage/VDICore.h); little endian.

Offset  Size  Field                      Offset  Size  Field
  0x40     4  signature 0xbeda107f        0x170     8  disk size
  0x44     4  version                     0x178     4  block size
  0x4c     4  type: 1 dynamic, 2 static   0x17c     4  extra bytes per block
 0x154     4  block map offset            0x180     4  blocks
 0x158     4  data offset                 0x184     4  blocks allocated
 0x168     4  sector size                 0x188    64  ids: image, last snapshot, link, parent
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
    unchecked,
)
from .rules import finding
from .signatures import VDI_AT

LAYOUT = "<4sIIII256sIIIIIIIQIIII16s16s16s16s"
VERSION = 0x00010001
VARIANTS = {1: "dynamic", 2: "static", 3: "undo", 4: "differencing"}
BLOCK = 1 << 20
UNUSED, DISCARDED = 0xFFFFFFFF, 0xFFFFFFFE
MAX_BLOCKS = 0x1FFFFFFF
NO_ID = bytes(16)


@dataclass(frozen=True)
class Header:
    """The fields after the file's line of text."""

    signature: bytes
    version: int
    length: int
    kind: int
    flags: int
    description: bytes
    map_offset: int
    data_offset: int
    cylinders: int
    heads: int
    sectors: int
    sector_size: int
    unused: int
    size: int
    block_size: int
    block_extra: int
    blocks: int
    allocated: int
    image_id: bytes
    snapshot_id: bytes
    link_id: bytes
    parent_id: bytes


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from the header and the block map."""
    header = Header(*image.unpack(LAYOUT, VDI_AT, what="VDI header"))
    _describe(draft, header)
    _check_fields(header)
    check_virtual_size(draft)
    _walk(image, draft, header)


def _describe(draft: Draft, header: Header) -> None:
    draft.variant = VARIANTS.get(header.kind)
    # QEMU rounds an odd size up to a sector
    draft.virtual_size = -(-header.size // SECTOR) * SECTOR
    draft.cluster_size = header.block_size
    draft.header_area = header.data_offset
    draft.header = {
        "version": header.version,
        "flags": header.flags,
        "blocks": header.blocks,
        "blocks_allocated": header.allocated,
        "geometry": [header.cylinders, header.heads, header.sectors],
        "image_id": _id(header.image_id),
        "snapshot_id": _id(header.snapshot_id),
        "link_id": _id(header.link_id),
        "parent_id": _id(header.parent_id),
        "tables_checked": True,
    }
    if header.kind in (3, 4) or header.link_id != NO_ID or header.parent_id != NO_ID:
        draft.findings.append(
            finding(
                "parent-file",
                "A differencing VDI needs a parent that QEMU cannot follow; merge it with VBoxManage first.",
            )
        )


def _id(data: bytes) -> str | None:
    """As VirtualBox shows it; nothing where there is none."""
    return str(uuid.UUID(bytes_le=data)) if data != NO_ID else None


def _check_fields(header: Header) -> None:
    problems = {
        f"version {header.version:#x}": header.version != VERSION,
        f"the type {header.kind}": header.kind not in VARIANTS,
        f"sectors of {header.sector_size} bytes": header.sector_size != SECTOR,
        f"blocks of {header.block_size} bytes": header.block_size != BLOCK,
        f"{header.block_extra} extra bytes per block": bool(header.block_extra),
        f"a block map at {header.map_offset}": bool(header.map_offset % SECTOR) or header.map_offset < SECTOR,
        f"data at {header.data_offset}": bool(header.data_offset % SECTOR)
        or header.data_offset < header.map_offset + header.blocks * 4,
        f"{header.blocks} blocks for {header.size} bytes": header.blocks > MAX_BLOCKS
        or header.size > header.blocks * BLOCK,
    }
    wrong = [told for told, is_wrong in problems.items() if is_wrong]
    if wrong:
        raise Malformed("malformed-header", f"The VDI header gives {wrong[0]}, which QEMU refuses.")


def _walk(image: Reader, draft: Draft, header: Header) -> None:
    """A used entry is the number of a block in the data area."""
    if header.blocks * 4 > MAP_BUDGET:
        unchecked(draft, what="block map")
    last, stored, seen = -1, 0, 0
    for data in image.chunks(header.map_offset, min(header.blocks * 4, MAP_BUDGET), what="block map"):
        values = entries(data, code="I", big_endian=False)
        used = set(values) - {UNUSED, DISCARDED}
        last, seen = max(used | {last}), seen + len(used)
        stored += len(values) - values.count(UNUSED) - values.count(DISCARDED)
    if last >= header.blocks:
        draft.findings.append(
            finding("table-bounds", f"The block map names block {last}, and the image has {header.blocks}.")
        )
    if stored > seen:
        draft.findings.append(finding("shared-table", "Entries of the block map share blocks, an expansion bomb."))
    if last >= 0:
        check_end(image, draft, end=header.data_offset + (last + 1) * BLOCK, what="last block")
        check_capacity(draft, stored=stored * BLOCK, available=image.size)
