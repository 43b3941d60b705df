# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QED, QEMU's enhanced disk (docs/interop/qed_spec.rst): an L1 table, L2 tables of the same size, and clusters.

Offset  Size  Field (little endian)     Offset  Size  Field
     0     4  magic "QED\\0"                 24     8  compatible features
     4     4  cluster size                  32     8  autoclear features
     8     4  table size, clusters          40     8  L1 table offset
    12     4  header size, clusters         48     8  virtual size
    16     8  features                      56     4  backing file name offset
                                            60     4  backing file name length
"""

from __future__ import annotations

from dataclasses import dataclass

from .facts import Backing, Draft
from .qed_tables import check_tables
from .reader import SECTOR, Malformed, Reader, check_virtual_size, power_of_two, text
from .rules import finding

LAYOUT = "<4sIIIQQQQQII"
BACKING, NEED_CHECK, RAW_BACKING = 1, 2, 4
FEATURES = {BACKING: "backing file", NEED_CHECK: "need check", RAW_BACKING: "raw backing file"}
MIN_CLUSTER, MAX_CLUSTER = 4 << 10, 64 << 20
MIN_TABLE_CLUSTERS, MAX_TABLE_CLUSTERS = 2, 16
MAX_BACKING_NAME = 1023
# QEMU keeps a table in memory: 16 clusters of 64 MiB are more than it ever makes or this collection reads.
MAX_TABLE_BYTES = 32 << 20
# QEMU counts a run of clusters within a table in 32 bits (block/qed-cluster.c), and aborts where that gives zero.
MAX_TABLE_SPAN = 4 << 30


@dataclass(frozen=True)
class Header:
    """The fixed fields."""

    cluster_size: int
    table_clusters: int
    header_clusters: int
    features: int
    compatible: int
    autoclear: int
    l1_offset: int
    size: int
    backing_offset: int
    backing_length: int

    @property
    def table_bytes(self) -> int:
        return self.table_clusters * self.cluster_size

    @property
    def header_bytes(self) -> int:
        return self.header_clusters * self.cluster_size


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from the header and the tables."""
    _magic, *fields = image.unpack(LAYOUT, 0, what="QED header")
    header = Header(*fields)
    draft.virtual_size = header.size
    check_virtual_size(draft)
    _check_fields(header)
    _describe(header, draft)
    _features(header, draft)
    if header.features & BACKING:
        _backing(image, header, draft)
    check_tables(image, draft, l1_offset=header.l1_offset, table_bytes=header.table_bytes, header=header.header_bytes)


def _check_fields(header: Header) -> None:
    """QEMU's own rules (block/qed.c), before anything is computed from the numbers."""
    problems = {
        f"clusters of {header.cluster_size} bytes": not power_of_two(header.cluster_size)
        or not MIN_CLUSTER <= header.cluster_size <= MAX_CLUSTER,
        f"tables of {header.table_clusters} clusters": not power_of_two(header.table_clusters)
        or not MIN_TABLE_CLUSTERS <= header.table_clusters <= MAX_TABLE_CLUSTERS,
        f"a header of {header.header_clusters} clusters": not 0 < header.header_clusters <= 1 << 20,
        f"the virtual size {header.size}, no multiple of {SECTOR}": header.size % SECTOR != 0,
    }
    wrong = [told for told, is_wrong in problems.items() if is_wrong]
    if wrong:
        raise Malformed("malformed-header", f"The QED header gives {wrong[0]}, which QEMU refuses.")
    if header.table_bytes > MAX_TABLE_BYTES:
        raise Malformed("absurd-size", f"The QED header gives tables of {header.table_bytes} bytes.")
    entries = header.table_bytes // 8
    if header.size > entries * entries * header.cluster_size:
        raise Malformed("table-bounds", f"The tables of the QED image cannot hold {header.size} bytes.")
    if min(header.size, entries * header.cluster_size) >= MAX_TABLE_SPAN:
        raise Malformed(
            "unsupported-variant",
            "A table of the QED image describes 4 GiB or more, of which QEMU dies; convert it with smaller clusters "
            "where it was made.",
        )


def _describe(header: Header, draft: Draft) -> None:
    draft.cluster_size = header.cluster_size
    draft.header_area = header.cluster_size
    draft.dirty = bool(header.features & NEED_CHECK)
    draft.header = {
        "table_size": header.table_clusters,
        "header_size": header.header_clusters,
        "features": [FEATURES.get(1 << bit, f"bit {bit}") for bit in range(64) if header.features >> bit & 1],
        "tables_checked": True,
    }


def _features(header: Header, draft: Draft) -> None:
    unknown = header.features & ~(BACKING | NEED_CHECK | RAW_BACKING)
    if unknown:
        draft.findings.append(
            finding("unknown-feature", f"The QED image needs the unknown features {unknown:#x}; get it without them.")
        )
    if draft.dirty:
        draft.findings.append(finding("unclean", "The QED image was not closed; QEMU checks it at the next opening."))


def _backing(image: Reader, header: Header, draft: Draft) -> None:
    """Without the flag for raw backing files QEMU guesses their format, and other formats cannot be recorded."""
    end = header.backing_offset + header.backing_length
    if header.backing_length > MAX_BACKING_NAME or end > header.header_bytes:
        raise Malformed("table-bounds", "The backing file name lies outside the QED header.")
    if not header.backing_length:
        return
    name = text(image.exact(header.backing_offset, header.backing_length, what="backing file name"))
    raw = bool(header.features & RAW_BACKING)
    draft.backing = Backing(name=name, format="raw" if raw else None)
    draft.findings.append(
        finding(
            "backing-file",
            f"The image reads the backing file '{name}', which was not declared; declare it or use a flat copy.",
            file=name,
        )
    )
    if not raw:
        draft.findings.append(
            finding(
                "backing-format-missing",
                f"QED cannot record the format of the backing file '{name}'; convert the image to qcow2.",
            )
        )
