# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The block index of an image, which is all segments of all disks one behind the other; equal segments are there once."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable

from .digest import digest_of
from .image import SegmentEntry
from .packs import Place
from .segment import SEGMENT_BLOCKS, Block, Segment, content_digest, make_segment

_DIGEST = 32
_NOWHERE = Place("", 0, 0)


@dataclass(frozen=True)
class Content:
    """The blocks of a disk of `size` bytes that aren't zeros, in the guest's order: their numbers, and their digests one behind the other."""

    size: int
    numbers: array[int] = field(default_factory=lambda: array("I"))
    digests: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.numbers)

    def add(self, number: int, digest: bytes) -> None:
        """The next block."""
        self.numbers.append(number)
        self.digests.extend(digest)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for index, number in enumerate(self.numbers):
            yield number, bytes(self.digests[index * _DIGEST : (index + 1) * _DIGEST])

    def digest(self) -> str:
        """What tells whether two disks have the same content."""
        return content_digest(self.size, self.segments(lambda _digest: _NOWHERE))

    def segments(self, place_of: Callable[[bytes], Place]) -> Iterator[Segment]:
        """The disk's segments; `place_of` says where each block's frame is."""
        blocks: list[Block] = []
        for number, digest in self:
            if blocks and number // SEGMENT_BLOCKS != blocks[0].number // SEGMENT_BLOCKS:
                yield make_segment(blocks[0].number // SEGMENT_BLOCKS, blocks)
                blocks = []
            blocks.append(Block(number, digest, *place_of(digest)))
        if blocks:
            yield make_segment(blocks[0].number // SEGMENT_BLOCKS, blocks)


class IndexBlob:
    """Collects segments."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._offsets: dict[str, int] = {}

    def add(self, segment: Segment) -> SegmentEntry:
        """What the configuration says of the segment."""
        data = segment.as_bytes()
        digest = digest_of(data)
        if digest not in self._offsets:
            self._offsets[digest] = self._size
            self._pieces.append(data)
            self._size += len(data)
        return SegmentEntry(segment.number, digest, self._offsets[digest], len(data), len(segment))

    def as_bytes(self) -> bytes:
        """The blob."""
        return b"".join(self._pieces)
