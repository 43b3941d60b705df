# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hosted sparse extent of VMDK (Virtual Disk Format 5.0, "Hosted Sparse Extents" and "Stream-Optimized Compressed").

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
from .reader import SECTOR, Malformed, Reader, check_end, check_virtual_size, power_of_two
from .rules import finding
from .signatures import VMDK_SPARSE
from .vmdk_descriptor import MAX_DESCRIPTOR, parse_descriptor
from .vmdk_lookalikes import PARENT_AREA, PARENT_AT, check_lookalikes
from .vmdk_tables import Tables, check_tables

LAYOUT = "<4sIIQQQQIQQQB4sH"
AT_END = 0xFFFFFFFFFFFFFFFF
END_OF_STREAM, FOOTER_MARKER = 0, 3
REDUNDANT, ZERO_GRAINS, COMPRESSED, MARKERS = 1 << 1, 1 << 2, 1 << 16, 1 << 17
LINE_ENDS = b"\n \r\n"
# QEMU refuses more entries per grain table and larger grains
MAX_TABLE_ENTRIES = 512
MAX_GRAIN_SECTORS = 0x200000
ALONE = "sparse extent"


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

    @property
    def descriptor_end(self) -> int:
        """The sector behind the embedded descriptor, 0 where there is none."""
        return self.descriptor_offset + self.descriptor_sectors if self.descriptor_offset else 0


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from header, footer, descriptor and tables."""
    first = Header(*image.unpack(LAYOUT, 0, what="VMDK header"))
    draft.virtual_size = first.capacity * SECTOR
    draft.header_area = min(first.metadata_sectors * SECTOR, image.size)
    _parse_embedded(image, draft, first)
    header = _footer(image, draft, first) if first.directory_offset == AT_END else first
    _describe(draft, header)
    _check_fields(header)
    check_virtual_size(draft)
    check_end(image, draft, end=header.metadata_sectors * SECTOR, what="VMDK metadata")
    check_lookalikes(draft, image.upto(PARENT_AT, PARENT_AREA), embedded=True)
    check_tables(image, draft, _tables(header))


def _parse_embedded(image: Reader, draft: Draft, header: Header) -> None:
    """QEMU follows the embedded descriptor when the capacity is zero, so it is never ignored here."""
    if not header.descriptor_offset:
        draft.variant = ALONE
        return
    length = header.descriptor_sectors * SECTOR
    if not 0 < length <= MAX_DESCRIPTOR:
        raise Malformed("absurd-size", f"The VMDK header claims a descriptor of {length} bytes.")
    data = image.exact(header.descriptor_offset * SECTOR, length, what="VMDK descriptor")
    if data[0] == 0:
        # QEMU leaves room for one in the extents of a split disk.
        draft.variant = ALONE
        return
    parse_descriptor(draft, data, embedded=True)
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
    ended = image.unpack("<QII", max(at, 0) + 2 * SECTOR, what="VMDK footer") == (0, 0, END_OF_STREAM)
    if kind != FOOTER_MARKER or size or header.magic != VMDK_SPARSE or not ended:
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
        zeroed_grain=bool(header.flags & ZERO_GRAINS),
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


def _tables(header: Header) -> Tables:
    """What the walk needs of the header."""
    return Tables(
        directory=header.directory_offset,
        spare=header.redundant_offset if header.flags & REDUNDANT else None,
        count=header.tables,
        table_entries=header.table_entries,
        grain_sectors=header.grain_sectors,
        compressed=bool(header.flags & COMPRESSED),
        # A stream is written once from front to back; all others have their metadata in front, and guests write behind.
        floor=0 if header.flags & (COMPRESSED | MARKERS) else max(1, header.descriptor_end),
    )
