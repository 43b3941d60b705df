# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's content in pieces of whole blocks."""

from __future__ import annotations

from collections.abc import Iterator

from .._catalog.segment import BLOCK_SIZE
from .._formats.guest_content import GuestContent

_PIECE = 1 << 20


def pieces(content: GuestContent) -> Iterator[tuple[int, int]]:
    """Start and end of neighbouring data, at most 1 MiB at once, none twice."""
    start = done = 0
    for begin, end in content.extents():
        begin, end = max(done, begin // BLOCK_SIZE * BLOCK_SIZE), -(-end // BLOCK_SIZE) * BLOCK_SIZE
        if begin > done:
            yield from _cut(start, done)
            start = begin
        done = max(done, end)
    yield from _cut(start, done)


def _cut(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        yield start, min(start + _PIECE, end)
        start += _PIECE
