# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which stretches of which packs hold the blocks that are wanted: neighbours joined, so that one request brings many."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .blocks import DiskBlocks

# Reading so much that isn't wanted costs less than another request.
GAP = 64 << 10
# One request. Eight of them under way keep a link busy, and a kill loses what they brought of their blocks: at most eight requests.
REQUEST = 1 << 20
UNDER_WAY = 8 << 20


@dataclass(frozen=True)
class Part:
    """Bytes `start` to `end` of a pack (its number in `DiskBlocks.packs`), and the blocks whose frames are in them.

    `blocks` are indexes of DiskBlocks in the order of the frames; some may share a frame.
    """

    pack: int
    start: int
    end: int
    blocks: Sequence[int]

    @property
    def size(self) -> int:
        return self.end - self.start


def make_parts(blocks: DiskBlocks, wanted: Iterable[int], *, most: int = REQUEST, gap: int = GAP) -> list[Part]:
    """The parts that hold the blocks `wanted`, at most `most` bytes each (a frame more for the last one)."""
    return list(_parts(blocks, wanted, most, gap))


def _parts(blocks: DiskBlocks, wanted: Iterable[int], most: int, gap: int) -> Iterator[Part]:
    packs, offsets, lengths = blocks.pack_of, blocks.offsets, blocks.lengths
    pack, start, end, found = -1, 0, 0, list[int]()
    for index in sorted(wanted, key=lambda one: (packs[one], offsets[one])):
        offset = offsets[index]
        last = offset + lengths[index]
        if packs[index] != pack or offset - end > gap or last - start > most:
            if found:
                yield Part(pack, start, end, found)
            pack, start, end, found = packs[index], offset, last, []
        end = max(end, last)
        found.append(index)
    if found:
        yield Part(pack, start, end, found)
