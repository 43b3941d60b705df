# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VHDX ([MS-VHDX]): two headers, two region tables, metadata items, block allocation table; all little endian."""

from __future__ import annotations

import struct
import uuid
from dataclasses import dataclass

from .crc32c import crc32c
from .facts import Draft
from .reader import SECTOR, Malformed, Reader, check_virtual_size, power_of_two
from .rules import finding
from .vhd_places import check_areas
from .vhdx_blocks import check_blocks
from .vhdx_log import waiting_entries
from .vhdx_parent import parent_of

KIB, MIB = 1 << 10, 1 << 20
HEADERS, HEADER_SIZE = (64 * KIB, 128 * KIB), 4 * KIB
REGIONS, REGION_SIZE = (192 * KIB, 256 * KIB), 64 * KIB
HEADER_LAYOUT = "<4sIQ16s16s16sHHIQ"
MAX_ENTRIES = 2047
MAX_LOG = 64 * MIB
NO_ID = bytes(16)
BAT = uuid.UUID("2dc27766-f623-4200-9d64-115e9bfd4a08")
METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
DISK_ID = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
LOGICAL = uuid.UUID("8141bf1d-a96f-4709-ba47-f233a8faab5f")
PHYSICAL = uuid.UUID("cda348c7-445d-4471-9cc9-e9885251c556")
PARENT = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c")
KNOWN = {PARAMETERS, SIZE, DISK_ID, LOGICAL, PHYSICAL, PARENT}
LEAVE_ALLOCATED, HAS_PARENT = 1, 2
REQUIRED_REGION, REQUIRED_ITEM = 1, 4


@dataclass(frozen=True)
class Header:
    """One of the two headers."""

    signature: bytes
    checksum: int
    sequence: int
    file_id: bytes
    data_id: bytes
    log_id: bytes
    log_version: int
    version: int
    log_length: int
    log_offset: int


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from the newest header, the regions and the metadata."""
    draft.header_area = min(MIB, image.size)
    header = _current_header(image, draft)
    _check_log(image, draft, header)
    regions = _regions(image, draft)
    if BAT not in regions or METADATA not in regions:
        raise Malformed("malformed-header", "The VHDX has no block allocation table or no metadata region.")
    own = [(0, MIB), (header.log_offset, header.log_length), *regions.values()]
    check_areas(draft, own, what="log and regions of the VHDX")
    _describe(draft, _metadata(image, draft, *regions[METADATA]))
    check_virtual_size(draft)
    check_blocks(image, draft, regions[BAT], own)


def _current_header(image: Reader, draft: Draft) -> Header:
    """The valid header with the higher sequence number; two valid ones of one number must be the same."""
    valid = []
    for at in HEADERS:
        data = image.upto(at, HEADER_SIZE)
        if len(data) == HEADER_SIZE and data[:4] == b"head" and _checksum_holds(data):
            valid.append(Header(*struct.unpack_from(HEADER_LAYOUT, data)))
    if not valid:
        raise Malformed("checksum", "The VHDX has no valid header; get the file again.")
    if len(valid) == 2 and valid[0].sequence == valid[1].sequence and valid[0] != valid[1]:
        raise Malformed("header-mismatch", "The two headers of the VHDX claim to be the newest; get the file again.")
    newest = max(valid, key=lambda header: header.sequence)
    draft.header = {
        "version": newest.version,
        "sequence": newest.sequence,
        "valid_headers": len(valid),
        "log_length": newest.log_length,
        "file_write_id": str(uuid.UUID(bytes_le=newest.file_id)),
        "data_write_id": str(uuid.UUID(bytes_le=newest.data_id)),
        "creator": image.upto(8, 512).decode("utf-16-le", "replace").split("\0", 1)[0],
    }
    return newest


def _checksum_holds(data: bytes) -> bool:
    return crc32c(data[:4] + bytes(4) + data[8:]) == int.from_bytes(data[4:8], "little")


def _check_log(image: Reader, draft: Draft, header: Header) -> None:
    if header.version != 1 or header.log_version:
        raise Malformed("unsupported-variant", f"VHDX version {header.version}, log version {header.log_version}.")
    if header.log_length > MAX_LOG or header.log_length % MIB or header.log_offset % MIB or header.log_offset < MIB:
        raise Malformed(
            "table-bounds", f"The VHDX log of {header.log_length} bytes at {header.log_offset} is not allowed."
        )
    if header.log_offset + header.log_length > image.size:
        raise Malformed("truncated", "The log of the VHDX is not in the file; get the file again.")
    waiting = header.log_id != NO_ID and waiting_entries(image, header.log_offset, header.log_length, header.log_id)
    draft.dirty = bool(waiting)
    draft.header["log_entries"] = int(waiting)
    if draft.dirty:
        draft.findings.append(
            finding(
                "dirty-log",
                "The VHDX has an unreplayed log, so QEMU cannot read it; copy it and run "
                "'qemu-img check -f vhdx -r all' on the copy.",
            )
        )


def _regions(image: Reader, draft: Draft) -> dict[uuid.UUID, tuple[int, int]]:
    """The first region table, the only one that QEMU reads; a valid second one must say the same."""
    tables = [image.upto(at, REGION_SIZE) for at in REGIONS]
    valid = [len(data) == REGION_SIZE and data[:4] == b"regi" and _checksum_holds(data) for data in tables]
    if not valid[0]:
        raise Malformed("checksum", "The first region table of the VHDX is damaged; get the file again.")
    if valid[1] and tables[0] != tables[1]:
        draft.findings.append(finding("header-mismatch", "The two region tables of the VHDX disagree."))
    return _region_entries(image, draft, tables[0])


def _region_entries(image: Reader, draft: Draft, data: bytes) -> dict[uuid.UUID, tuple[int, int]]:
    count, found = int.from_bytes(data[8:12], "little"), {}
    if count > MAX_ENTRIES:
        raise Malformed("absurd-size", f"The VHDX region table claims {count} entries.")
    for at in range(16, 16 + count * 32, 32):
        name, offset, length, required = struct.unpack_from("<16sQII", data, at)
        key = uuid.UUID(bytes_le=name)
        if key in (BAT, METADATA):
            _check_region(image, offset, length, repeated=key in found)
            found[key] = (offset, length)
        elif required & REQUIRED_REGION:
            draft.findings.append(finding("unknown-feature", f"The VHDX needs the unknown region {key}."))
    return found


def _check_region(image: Reader, offset: int, length: int, *, repeated: bool) -> None:
    if offset < MIB or offset % MIB or length % MIB or not length or repeated:
        raise Malformed("table-bounds", f"The VHDX region of {length} bytes at {offset} is not allowed.")
    if offset + length > image.size:
        raise Malformed("truncated", "A region of the VHDX is not in the file; get the file again.")


def _metadata(image: Reader, draft: Draft, offset: int, length: int) -> dict[uuid.UUID, bytes]:
    table, found = image.exact(offset, REGION_SIZE, what="VHDX metadata table"), {}
    count = int.from_bytes(table[10:12], "little")
    if table[:8] != b"metadata" or count > MAX_ENTRIES:
        raise Malformed("malformed-header", f"The VHDX metadata table is damaged or claims {count} entries.")
    for at in range(32, 32 + count * 32, 32):
        name, start, size, bits = struct.unpack_from("<16sIII", table, at)
        key = uuid.UUID(bytes_le=name)
        if key in KNOWN:
            if start < REGION_SIZE or size > MIB or start + size > length:
                raise Malformed("table-bounds", f"The VHDX metadata item {key} lies outside its region.")
            found[key] = image.exact(offset + start, size, what="VHDX metadata item") if size else b""
        elif bits & REQUIRED_ITEM:
            draft.findings.append(finding("unknown-feature", f"The VHDX needs the unknown metadata item {key}."))
    return found


def _describe(draft: Draft, items: dict[uuid.UUID, bytes]) -> None:
    block, flags = _number(items, PARAMETERS, 4), _number(items, PARAMETERS, 4, at=4)
    sector = _number(items, LOGICAL, 4)
    if not power_of_two(block) or not MIB <= block <= 256 * MIB or sector not in (512, 4096):
        raise Malformed("malformed-header", f"The VHDX gives blocks of {block} and sectors of {sector} bytes.")
    draft.virtual_size, draft.cluster_size = _number(items, SIZE, 8), block
    draft.variant = "differencing" if flags & HAS_PARENT else "fixed" if flags & LEAVE_ALLOCATED else "dynamic"
    draft.header.update(
        logical_sector_size=sector,
        physical_sector_size=_number(items, PHYSICAL, 4),
        disk_id=_disk_id(items),
        tables_checked=True,
        parent=parent_of(items[PARENT]) if PARENT in items else None,
    )
    if flags & HAS_PARENT or PARENT in items:
        draft.findings.append(
            finding(
                "parent-file",
                "A differencing VHDX, which QEMU refuses; merge it into its parent on the host that made it.",
            )
        )
    if sector != SECTOR:
        draft.findings.append(
            finding("unsupported-variant", f"A VHDX with logical sectors of {sector} bytes, which QEMU can't open.")
        )
    if draft.virtual_size % sector or not draft.virtual_size:
        raise Malformed("malformed-header", f"The virtual size {draft.virtual_size} is no multiple of a sector.")


def _number(items: dict[uuid.UUID, bytes], key: uuid.UUID, size: int, *, at: int = 0) -> int:
    data = items.get(key, b"")[at : at + size]
    if len(data) != size:
        raise Malformed("malformed-header", f"The VHDX metadata item {key} is missing or too short.")
    return int.from_bytes(data, "little")


def _disk_id(items: dict[uuid.UUID, bytes]) -> str | None:
    data = items.get(DISK_ID, b"")
    return str(uuid.UUID(bytes_le=data)) if len(data) == 16 else None
