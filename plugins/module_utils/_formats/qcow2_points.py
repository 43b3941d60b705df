# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the internal snapshots of a qcow2 image keep their tables, and whether the disk has been written to since.

A snapshot is a copy of the L1 table; the L2 tables and clusters that it names are shared with the disk until somebody writes
(QEMU's docs/interop/qcow2.txt). So the disk is at a snapshot while its L1 table names the same L2 tables.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from .chain import open_image
from .qcow2_header import Header, read_header
from .qcow2_l2 import OFFSET_MASK
from .qcow2_snapshots import MAX_EXTRA, MAX_L1_BYTES, MAX_SNAPSHOTS, SNAPSHOT, SNAPSHOT_SIZE
from .reader import Malformed, Reader, entries, text

_EXTENDED_L2 = 16


@dataclass(frozen=True)
class Point:
    """A snapshot: what it says of itself, and where its L1 table lies. `current` while the disk is just as it was then."""

    id: str
    name: str
    date: int
    vm_state_size: int
    disk_size: int
    l1_offset: int
    l1_entries: int
    current: bool = False


@dataclass(frozen=True)
class Points:
    """The disk of now and its snapshots in the order of the table, which is that in which they were made."""

    virtual_size: int
    version: int
    l1_bytes: int
    points: tuple[Point, ...]

    def named(self, name: str) -> list[Point]:
        return [point for point in self.points if point.name == name]

    def listed(self) -> list[dict[str, object]]:
        """The snapshots as results show them."""
        return [{key: getattr(point, key) for key in _SHOWN} for point in self.points]


_SHOWN = ("id", "name", "date", "vm_state_size", "disk_size")


def read_points(path: str) -> Points:
    """The snapshots of the qcow2 image `path`; raises Malformed for tables that aren't in the file."""
    with open_image(path) as image:
        reader = Reader(image.stream, image.size)
        header = read_header(reader)
        if header.snapshot_count > MAX_SNAPSHOTS or header.l1_entries * 8 > MAX_L1_BYTES:
            raise Malformed("absurd-size", f"{path} claims more snapshots or a larger L1 table than QEMU allows.")
        position, found = header.snapshot_offset, []
        for _turn in range(header.snapshot_count):
            point, length = _read_point(reader, header, position)
            found.append(_compared(reader, header, point))
            position = -(-(position + length) // 8) * 8
    return Points(header.size, header.version, header.l1_entries * 8, tuple(found))


def _read_point(reader: Reader, header: Header, position: int) -> tuple[Point, int]:
    fields = reader.unpack(SNAPSHOT, position, what="snapshot table")
    l1_offset, l1_entries, id_length, name_length, date, state, extra = (*fields[:5], *fields[7:])
    if extra > MAX_EXTRA or l1_entries * 8 > MAX_L1_BYTES:
        raise Malformed("absurd-size", f"A snapshot claims {extra} bytes of extra data and {l1_entries} L1 entries.")
    length = SNAPSHOT_SIZE + extra + id_length + name_length
    data = reader.exact(position, length, what="snapshot table")[SNAPSHOT_SIZE:]
    point = Point(
        id=text(data[extra : extra + id_length]),
        name=text(data[extra + id_length :]),
        vm_state_size=struct.unpack_from(">Q", data)[0] if extra >= 8 else state,
        disk_size=struct.unpack_from(">Q", data, 8)[0] if extra >= 16 else header.size,
        date=date,
        l1_offset=l1_offset,
        l1_entries=l1_entries,
    )
    return point, length


def _compared(reader: Reader, header: Header, point: Point) -> Point:
    """The same with its verdict; the part of the L1 table behind the disk holds a VM's memory and doesn't count."""
    entry = 16 if header.incompatible & _EXTENDED_L2 else 8
    needed = -(-header.size // (header.cluster_size * (header.cluster_size // entry)))
    same = (
        point.disk_size == header.size
        and min(point.l1_entries, header.l1_entries) >= needed
        and _offsets(reader, header.l1_offset, needed) == _offsets(reader, point.l1_offset, needed)
    )
    return replace(point, current=same)


def _offsets(reader: Reader, offset: int, count: int) -> list[int]:
    """The places of the L2 tables without the flag that says whether they are shared."""
    found: list[int] = []
    for data in reader.chunks(offset, count * 8, what="L1 table"):
        found += [value & OFFSET_MASK for value in entries(data, code="Q", big_endian=True)]
    return found
