# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A new qcow2 image without data: an overlay on a backing file, or an empty disk (QEMU's docs/interop/qcow2.txt).

Header with the backing file's name and format, one refcount table, one refcount block, an L1 table of zeros: four pieces with
clusters of 64 KiB, as QEMU makes them. The first disk of a task is so as fast as the others, and no process is started.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import BinaryIO

from .._errors import InvalidOption
from .qcow2_header import LAYOUT_V2, LAYOUT_V3
from .signatures import QCOW2

_CLUSTER_BITS = 16
_CLUSTER = 1 << _CLUSTER_BITS
_HEADER_LENGTH = 104
_REFCOUNT_ORDER = 4
_BACKING_FORMAT = 0xE2792ACA
# What one entry of the L1 table maps, and the longest L1 table and name that QEMU opens (block/qcow2.h, block/qcow2.c).
_PER_L1_ENTRY = _CLUSTER * (_CLUSTER // 8)
_MOST_L1_BYTES = 32 << 20
_MOST_NAME = 1023
# Clusters before the L1 table: header, refcount table, refcount block.
_BEFORE_L1 = 3


@dataclass(frozen=True)
class Backing:
    """The file that an overlay reads where it holds nothing; `driver` is QEMU's name of its format."""

    path: str
    driver: str


def write_empty_qcow2(stream: BinaryIO, *, size: int, backing: Backing | None = None) -> None:
    """Write an image of `size` bytes into an empty file; raises InvalidOption for what QEMU wouldn't open."""
    entries = -(-size // _PER_L1_ENTRY)
    if entries * 8 > _MOST_L1_BYTES:
        raise InvalidOption(f"size: {size} bytes are more than a qcow2 image with clusters of 64 KiB can have (2 PiB).")
    used = _BEFORE_L1 + -(-entries * 8 // _CLUSTER)
    pieces = (
        (0, _header(size, entries, backing)),
        (_CLUSTER, struct.pack(">Q", 2 * _CLUSTER)),
        (2 * _CLUSTER, struct.pack(">H", 1) * used),
    )
    for offset, data in pieces:
        stream.seek(offset)
        stream.write(data)
    stream.truncate(_BEFORE_L1 * _CLUSTER + entries * 8)


def _header(size: int, entries: int, backing: Backing | None) -> bytes:
    extensions = (_extension(_BACKING_FORMAT, backing.driver.encode()) if backing else b"") + bytes(8)
    name = os.fsencode(backing.path) if backing else b""
    if len(name) > _MOST_NAME:
        raise InvalidOption(
            f"The path of the image has {len(name)} bytes, and a qcow2 image names one of {_MOST_NAME}."
        )
    name_at = _HEADER_LENGTH + len(extensions) if name else 0
    head = struct.pack(
        LAYOUT_V2,
        QCOW2,
        3,
        name_at,
        len(name),
        _CLUSTER_BITS,
        size,
        0,
        entries,
        _BEFORE_L1 * _CLUSTER,
        _CLUSTER,
        1,
        0,
        0,
    )
    return head + struct.pack(LAYOUT_V3, 0, 0, 0, _REFCOUNT_ORDER, _HEADER_LENGTH) + extensions + name


def _extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)
