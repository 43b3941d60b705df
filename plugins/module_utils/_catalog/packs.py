# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks in packs: what a repository holds already, how large packs become, and which ones aren't worth keeping."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .image import MOST_PACKS
from .segment import BLOCK_SIZE, MOST_PACK, Segment

PACK_SIZE = 32 << 20
# So many packs have the plain size; with more of them, an image is large, and the others grow so that their number stays small.
_PLAIN_PACKS = 24
_WANTED_PACKS = MOST_PACKS * 7 // 8


class Place(NamedTuple):
    """Where the frame of a block is."""

    pack: str
    offset: int
    length: int


class KnownBlocks:
    """Blocks that a repository holds, by digest; of a block that is in several packs the first one that was added counts."""

    def __init__(self) -> None:
        self._places: dict[bytes, Place] = {}
        self.sizes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._places

    def get(self, digest: bytes) -> Place | None:
        """Where the block is, None for one that isn't known."""
        return self._places.get(digest)

    def add(self, digest: bytes, place: Place) -> None:
        """The block is there."""
        self._places.setdefault(digest, place)

    def add_segments(self, segments: Iterable[Segment], sizes: Mapping[str, int]) -> None:
        """All blocks of a disk whose image has packs of these sizes."""
        for segment in segments:
            for block in segment:
                self.add(block.digest, Place(block.pack, block.offset, block.length))
            self.sizes.update((pack, sizes[pack]) for pack in segment.packs)


def pack_size(packs: int, *, left: int) -> int:
    """How large the next pack becomes, when so many are there and about `left` bytes are still to come."""
    if packs < _PLAIN_PACKS:
        return PACK_SIZE
    return min(MOST_PACK - 2 * BLOCK_SIZE, max(PACK_SIZE, left // max(1, _WANTED_PACKS - packs)))


def packs_to_repack(
    used: Mapping[str, int], sizes: Mapping[str, int], *, written: int, most: int = MOST_PACKS
) -> set[str]:
    """The packs whose used blocks are better written anew: `used` says how many of the bytes of each an image uses.

    Those are packs of which less than half is used, and the smallest ones where the image would have more than `most` packs with
    the `written` ones, as long as two of them fit into one.
    """
    chosen = {pack for pack, count in used.items() if 2 * count < sizes[pack]}
    kept = sorted((pack for pack in used if pack not in chosen), key=lambda pack: (used[pack], pack), reverse=True)
    left = sum(used[pack] for pack in chosen)
    while (
        kept
        and 2 * used[kept[-1]] <= MOST_PACK
        and len(kept) + written + _packs_of(left, packs=len(kept) + written) > most
    ):
        chosen.add(kept[-1])
        left += used[kept.pop()]
    return chosen


def _packs_of(left: int, *, packs: int) -> int:
    """How many packs so many bytes need when so many packs are there."""
    count = 0
    while left > 0:
        left -= pack_size(packs + count, left=left)
        count += 1
    return count
