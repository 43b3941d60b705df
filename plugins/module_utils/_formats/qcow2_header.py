# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The header of qcow2, versions 2 and 3 (QEMU's docs/interop/qcow2.txt).

Offset  Size  Field                     Offset  Size  Field
     0     4  magic "QFI\\xfb"               56     4  refcount table clusters
     4     4  version                       60     4  number of snapshots
     8     8  backing file offset           64     8  snapshot table offset
    16     4  backing file name length      72     8  incompatible features   (version 3 from here)
    20     4  cluster bits                  80     8  compatible features
    24     8  virtual size                  88     8  autoclear features
    32     4  encryption method             96     4  refcount order
    36     4  L1 entries                   100     4  header length
    40     8  L1 table offset              104     1  compression type
    48     8  refcount table offset
"""

from __future__ import annotations

from dataclasses import dataclass

from .reader import Malformed, Reader

LAYOUT_V2 = ">4sIQIIQIIQQIIQ"
LAYOUT_V3 = ">QQQII"


@dataclass(frozen=True)
class Header:
    """The fixed fields; a version 2 header has the defaults of the last six."""

    version: int
    backing_offset: int
    backing_length: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_entries: int
    l1_offset: int
    refcount_offset: int
    refcount_clusters: int
    snapshot_count: int
    snapshot_offset: int
    incompatible: int = 0
    compatible: int = 0
    autoclear: int = 0
    refcount_order: int = 4
    length: int = 72
    compression_type: int = 0

    @property
    def cluster_size(self) -> int:
        return 1 << self.cluster_bits


def read_header(image: Reader) -> Header:
    """The fixed fields, with the bounds that everything after relies on."""
    _magic, *fields = image.unpack(LAYOUT_V2, 0, what="qcow2 header")
    if fields[0] not in (2, 3):
        raise Malformed("unsupported-variant", f"qcow version {fields[0]} is not supported; convert it to qcow2 first.")
    if not 9 <= fields[3] <= 21:
        raise Malformed("malformed-header", f"The qcow2 header gives {fields[3]} cluster bits, allowed are 9 to 21.")
    if fields[0] == 3:
        fields += image.unpack(LAYOUT_V3, 72, what="qcow2 version 3 header")
        if not 104 <= fields[-1] <= 1 << fields[3] or fields[-1] % 8:
            raise Malformed("malformed-header", f"The qcow2 header gives itself a length of {fields[-1]} bytes.")
        fields.append(image.exact(104, 1, what="qcow2 compression type")[0] if fields[-1] > 104 else 0)
    return Header(*fields)
