# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of QED: one L1 table of L2 tables, all of one size; 0 is unallocated, 1 in an L2 table a cluster of zeros."""

from __future__ import annotations

from .facts import Draft
from .reader import (
    TABLE_BUDGET,
    Malformed,
    Reader,
    check_capacity,
    check_end,
    entries,
    not_empty,
    spaced,
    unchecked,
)
from .rules import finding
from .wide import ALL_ONES, reaching, spread

ZERO_CLUSTER = 1


def check_tables(image: Reader, draft: Draft, *, l1_offset: int, table_bytes: int, header: int) -> None:
    """Every table and cluster must be in the file, at a cluster of its own, past the header."""
    cluster = draft.cluster_size or 1
    if l1_offset % cluster or l1_offset < header:
        raise Malformed("table-bounds", f"The L1 table lies at {l1_offset}, which is no cluster of its own.")
    tables = _table(image, l1_offset, table_bytes, needed=_l1_entries(draft, table_bytes), what="L1 table")
    used = [one for one in tables if one]
    places = sorted({l1_offset, *used})
    if len(places) <= len(used):
        draft.findings.append(finding("shared-table", "Two parts of the disk share one L2 table, an expansion bomb."))
    _check_places(places, cluster=cluster, table_bytes=table_bytes, header=header)
    if places[-1] + table_bytes > image.size:
        check_end(image, draft, end=places[-1] + table_bytes, what="last L2 table")
        return
    _walk(image, draft, used, table_bytes=table_bytes, header=header)


def _l1_entries(draft: Draft, table_bytes: int) -> int:
    """How many entries of the L1 table the disk uses; what follows is never read."""
    per_entry = table_bytes // 8 * (draft.cluster_size or 1)
    return -(-draft.virtual_size // per_entry)


def _table(image: Reader, offset: int, length: int, *, needed: int, what: str) -> list[int]:
    found: list[int] = []
    image.exact(offset + length - 8, 8, what=what)
    for data in image.chunks(offset, min(length, needed * 8), what=what):
        found += entries(data, code="Q", big_endian=False) if not_empty(data) else [0] * (len(data) // 8)
    return found


def _check_places(places: list[int], *, cluster: int, table_bytes: int, header: int) -> None:
    if any(place % cluster for place in places):
        raise Malformed("table-bounds", "An L2 table does not start at a cluster.")
    if places[0] < header:
        raise Malformed("table-overlap", "An L2 table lies inside the header; do not use this image.")
    if any(other - one < table_bytes for one, other in zip(places, places[1:])):
        raise Malformed("table-overlap", "Two tables of the QED image overlap; do not use this image.")


def _walk(image: Reader, draft: Draft, tables: list[int], *, table_bytes: int, header: int) -> None:
    """The L2 tables within the budget; evenly spaced ones where there are more."""
    cluster, stored, last = draft.cluster_size or 1, 0, 0
    chosen = spaced(tables, TABLE_BUDGET // table_bytes)
    for table in chosen:
        for data in image.chunks(table, table_bytes, what="L2 table"):
            if not_empty(data):
                wide, count = _offsets(data, cluster=cluster, header=header)
                stored += reaching(wide, count, 1)
                if reaching(wide, count, max(image.size - cluster, 0) + 1):
                    last = max(last, *entries(wide.to_bytes(count * 8, "big"), code="Q", big_endian=True))
    if last:
        # QEMU writes whole clusters, yet the disk may end inside its last one.
        tail = draft.virtual_size % cluster or cluster
        check_end(image, draft, end=last + tail, padded=last + cluster, what="last cluster of guest data")
    check_capacity(draft, stored=stored * cluster, available=-(-image.size // cluster) * cluster)
    if len(chosen) < len(tables):
        unchecked(draft, what="set of L2 tables")


def _offsets(data: bytes, *, cluster: int, header: int) -> tuple[int, int]:
    """The offsets of clusters in a piece of a table as one wide integer, checked, and how many entries it has."""
    count, wide = len(data) // 8, int.from_bytes(data, "little")
    zeros = wide & spread(ZERO_CLUSTER, count)
    wide ^= zeros
    if (
        wide & zeros * ALL_ONES
        or wide & spread(3 << 62 | cluster - 1, count)
        or reaching(wide, count, 1) > reaching(wide, count, header)
    ):
        raise Malformed("table-bounds", "An L2 entry of the QED image points to no cluster of guest data.")
    return wide, count
