# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMDK: hosted sparse extents (monolithicSparse, streamOptimized); everything else is recognised and refused.

Offset  Size  Field (little endian)      Offset  Size  Field
     0     4  magic "KDMV"                   48     8  redundant grain directory, sectors
     4     4  version                        56     8  grain directory, sectors; all ones: see the footer
     8     4  flags                          64     8  sectors of metadata
    12     8  capacity, sectors              72     1  unclean shutdown
    20     8  grain size, sectors            73     4  line end characters, broken by text transfers
    28     8  descriptor offset, sectors     77     2  compression algorithm
    36     8  descriptor size, sectors
    44     4  entries of a grain table
"""

from __future__ import annotations

from dataclasses import dataclass

from .facts import Draft
from .reader import (
    SECTOR,
    TABLE_BUDGET,
    TABLE_COUNT,
    Malformed,
    Reader,
    check_capacity,
    check_end,
    check_virtual_size,
    entries,
    not_empty,
    power_of_two,
    unchecked,
)
from .rules import finding
from .vmdk_descriptor import looks_like_descriptor, parse_descriptor

SPARSE_MAGIC = b"KDMV"
COWD_MAGIC = b"COWD"
SESPARSE_MAGIC = b"\xbe\xba\xfe\xca\0\0\0\0"
LAYOUT = "<4sIIQQQQIQQQB4sH"
AT_END = 0xFFFFFFFFFFFFFFFF
FOOTER_MARKER = 3
REDUNDANT, COMPRESSED, MARKERS = 1 << 1, 1 << 16, 1 << 17
LINE_ENDS = b"\n \r\n"
MAX_DESCRIPTOR = 1 << 20
# QEMU refuses more entries per grain table and larger grains
MAX_TABLE_ENTRIES = 512
MAX_GRAIN_SECTORS = 0x200000
GRAIN_MARKER = 12


@dataclass(frozen=True)
class Header:
    """The header of a hosted sparse extent."""

    magic: bytes
    version: int
    flags: int
    capacity: int
    grain_sectors: int
    descriptor_offset: int
    descriptor_sectors: int
    table_entries: int
    redundant_offset: int
    directory_offset: int
    metadata_sectors: int
    unclean: int
    line_ends: bytes
    algorithm: int

    @property
    def tables(self) -> int:
        """Entries of the grain directory."""
        return -(-self.capacity // (self.grain_sectors * self.table_entries))


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from whichever of the VMDK files this is."""
    start = image.upto(0, SECTOR)
    if start.startswith(SPARSE_MAGIC):
        _parse_sparse(image, draft)
    elif start.startswith((COWD_MAGIC, SESPARSE_MAGIC)):
        draft.variant = "vmfsSparse" if start.startswith(COWD_MAGIC) else "seSparse"
        raise Malformed(
            "unsupported-variant", f"The {draft.variant} extent of an ESX host is not supported; export the VM."
        )
    else:
        _parse_text(image, draft)


def is_vmdk(image: Reader) -> bool:
    """Whether the file starts as any kind of VMDK."""
    start = image.upto(0, 8)
    return start.startswith((SPARSE_MAGIC, COWD_MAGIC, SESPARSE_MAGIC)) or looks_like_descriptor(image.upto(0, 4096))


def _parse_text(image: Reader, draft: Draft) -> None:
    draft.header_area = image.size
    parse_descriptor(draft, image.upto(0, min(image.size, MAX_DESCRIPTOR)), embedded=False)
    draft.virtual_size = sum(extent.size for extent in draft.extents if extent.access == "RW")
    check_virtual_size(draft)


def _parse_sparse(image: Reader, draft: Draft) -> None:
    first = Header(*image.unpack(LAYOUT, 0, what="VMDK header"))
    draft.virtual_size = first.capacity * SECTOR
    draft.header_area = min(first.metadata_sectors * SECTOR, image.size)
    _parse_embedded(image, draft, first)
    header = _footer(image, draft, first) if first.directory_offset == AT_END else first
    _describe(draft, header)
    _check_fields(header)
    check_virtual_size(draft)
    check_end(image, draft, end=header.metadata_sectors * SECTOR, what="VMDK metadata")
    _walk(image, draft, header)


def _parse_embedded(image: Reader, draft: Draft, header: Header) -> None:
    """QEMU follows the embedded descriptor when the capacity is zero, so it is never ignored here."""
    if not header.descriptor_offset:
        draft.variant = "sparse extent"
        return
    length = header.descriptor_sectors * SECTOR
    if not 0 < length <= MAX_DESCRIPTOR:
        raise Malformed("absurd-size", f"The VMDK header claims a descriptor of {length} bytes.")
    parse_descriptor(
        draft, image.exact(header.descriptor_offset * SECTOR, length, what="VMDK descriptor"), embedded=True
    )
    declared = sum(extent.size for extent in draft.extents)
    if declared != header.capacity * SECTOR:
        draft.findings.append(
            finding(
                "header-mismatch",
                f"The VMDK header says {header.capacity * SECTOR} bytes, its "
                f"descriptor {declared}; get the image again.",
            )
        )


def _footer(image: Reader, draft: Draft, first: Header) -> Header:
    """The last three sectors: footer marker, copy of the header, end-of-stream marker."""
    at = image.size - 3 * SECTOR
    _value, size, kind = image.unpack("<QII", max(at, 0), what="VMDK footer")
    header = Header(*image.unpack(LAYOUT, max(at, 0) + SECTOR, what="VMDK footer"))
    if kind != FOOTER_MARKER or size or header.magic != SPARSE_MAGIC:
        raise Malformed("truncated", "The streamOptimized VMDK has no footer at its end; get the file again.")
    same = ("version", "flags", "capacity", "grain_sectors", "descriptor_offset", "table_entries", "algorithm")
    different = [name for name in same if getattr(header, name) != getattr(first, name)]
    if different:
        draft.findings.append(
            finding("header-mismatch", f"Header and footer of the VMDK disagree in {', '.join(different)}.")
        )
    return header


def _describe(draft: Draft, header: Header) -> None:
    draft.cluster_size = header.grain_sectors * SECTOR
    draft.compression = "deflate" if header.flags & COMPRESSED else None
    draft.dirty = bool(header.unclean)
    draft.header.update(
        version=header.version,
        flags=header.flags,
        table_entries=header.table_entries,
        markers=bool(header.flags & MARKERS),
        tables_checked=True,
    )
    if draft.dirty:
        draft.findings.append(finding("unclean", "The VMDK was not closed by its last writer."))


def _check_fields(header: Header) -> None:
    problems = {
        f"version {header.version}": not 1 <= header.version <= 3,
        f"grains of {header.grain_sectors} sectors": not power_of_two(header.grain_sectors)
        or header.grain_sectors > MAX_GRAIN_SECTORS,
        f"grain tables of {header.table_entries} entries": not 0 < header.table_entries <= MAX_TABLE_ENTRIES,
        "broken line ends, the mark of a text mode transfer": header.line_ends != LINE_ENDS,
        f"the compression algorithm {header.algorithm}": header.algorithm != (1 if header.flags & COMPRESSED else 0),
    }
    wrong = [told for told, is_wrong in problems.items() if is_wrong]
    if wrong:
        raise Malformed("malformed-header", f"The VMDK header gives {wrong[0]}, which is not allowed.")


def _walk(image: Reader, draft: Draft, header: Header) -> None:
    """Both grain directories, then the grain tables of the one in use."""
    if header.tables * 4 > TABLE_BUDGET:
        raise Malformed("absurd-size", f"The grain directory would have {header.tables} entries.")
    main = _directory(image, header.directory_offset, header.tables)
    if header.flags & REDUNDANT:
        spare = _directory(image, header.redundant_offset, header.tables)
        check_end(image, draft, end=max(spare, default=0) * SECTOR, what="redundant grain table")
    used = [table for table in main if table]
    if len(set(used)) < len(used):
        draft.findings.append(
            finding("shared-table", "Two parts of the disk share one grain table, an expansion bomb.")
        )
    _walk_tables(image, draft, header, used)


def _directory(image: Reader, sector: int, count: int) -> list[int]:
    found: list[int] = []
    for data in image.chunks(sector * SECTOR, count * 4, what="grain directory"):
        found += entries(data, code="I", big_endian=False)
    return found


def _walk_tables(image: Reader, draft: Draft, header: Header, tables: list[int]) -> None:
    length, last, stored, packed = header.table_entries * 4, 0, 0, 0
    for table in tables[:TABLE_COUNT]:
        data = image.exact(table * SECTOR, length, what="grain table")
        if not_empty(data):
            values = entries(data, code="I", big_endian=False)
            highest = max(values)
            last = max(last, highest)
            count = len(values) - values.count(0) - values.count(1)
            stored, packed = stored + count, packed + len(set(values) - {0, 1})
    if stored > packed:
        draft.findings.append(finding("shared-table", "Grains are shared within a grain table, an expansion bomb."))
    if last > 1:
        _check_last(image, draft, header, last * SECTOR, stored)
    if len(tables) > TABLE_COUNT:
        unchecked(draft, what="set of grain tables")


def _check_last(image: Reader, draft: Draft, header: Header, last: int, stored: int) -> None:
    """The farthest grain: whole, or for a compressed one as long as its marker says."""
    grain = header.grain_sectors * SECTOR
    length = grain
    if header.flags & COMPRESSED:
        marker = image.upto(last, GRAIN_MARKER)
        length = GRAIN_MARKER + int.from_bytes(marker[8:12], "little")
    else:
        check_capacity(draft, stored=(stored - 1) * grain, available=image.size)
    check_end(image, draft, end=last + length, what="last grain")
