# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks of one length that lie where a table says: they may lie neither on each other nor on the file's own structures."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterable

from .facts import Draft
from .rules import finding


def check_places(
    draft: Draft, starts: Collection[int], *, length: int, areas: Iterable[tuple[int, int]], what: str
) -> None:
    """Note overlaps of the blocks at `starts` with each other and with `areas` (offset and length); one unit throughout."""
    placed = sorted(starts)
    if any(after - before < length for before, after in zip(placed, placed[1:])):
        draft.findings.append(finding("table-overlap", f"Blocks that the {what} names lie on each other."))
    for offset, size in areas:
        # The first block that ends behind the area's start must not begin before the area's end.
        at = bisect_left(placed, offset - length + 1)
        if size and at < len(placed) and placed[at] < offset + size:
            draft.findings.append(
                finding("table-overlap", f"A block that the {what} names lies on the structures of the image.")
            )
            return


def check_areas(draft: Draft, areas: Iterable[tuple[int, int]], *, what: str) -> None:
    """Note structures (offset and length) that lie on each other."""
    placed = sorted(area for area in areas if area[1])
    if any(one[0] + one[1] > other[0] for one, other in zip(placed, placed[1:])):
        draft.findings.append(finding("table-overlap", f"The {what} lie on each other."))
