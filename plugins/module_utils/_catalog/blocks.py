# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All blocks of one disk in columns: a disk has hundreds of thousands of them, too many for an object each."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .._errors import TransferError
from .image import DiskEntry
from .segment import SEGMENT_BLOCKS, Segment, content_digest

DIGEST = 32


@dataclass(frozen=True)
class DiskBlocks:
    """The blocks of a disk that aren't zeros, in the guest's order.

    `numbers` are theirs; `pack_of` says where in `packs` the digest of each one's pack stands, `offsets` and `lengths` where its
    frame is there. `digests` holds the digests one behind the other.
    """

    size: int
    packs: list[str] = field(default_factory=list)
    numbers: array[int] = field(default_factory=lambda: array("I"))
    pack_of: array[int] = field(default_factory=lambda: array("I"))
    offsets: array[int] = field(default_factory=lambda: array("I"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    digests: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.numbers)

    def digest(self, index: int) -> bytes:
        """The digest of one block."""
        return bytes(self.digests[index * DIGEST : (index + 1) * DIGEST])


def join_segments(size: int, segments: Iterable[Segment]) -> DiskBlocks:
    """The blocks of a disk of `size` bytes; `segments` ascend."""
    found = DiskBlocks(size)
    known: dict[str, int] = {}
    for segment in segments:
        for pack in segment.packs:
            known.setdefault(pack, len(known))
        places = [known[pack] for pack in segment.packs]
        first = segment.number * SEGMENT_BLOCKS
        found.numbers.extend(first + number for number in segment.numbers)
        found.pack_of.extend(places[pack] for pack in segment.pack_of)
        found.offsets.extend(segment.offsets)
        found.lengths.extend(segment.lengths)
        found.digests.extend(segment.digests)
    found.packs.extend(known)
    return found


def checked_blocks(disk: DiskEntry, segments: Sequence[Segment], *, where: str) -> DiskBlocks:
    """The blocks of `disk`; raises TransferError unless they are the content that the image names."""
    if content_digest(disk.size, segments) != disk.content:
        raise TransferError(f"{where}: the block index of the disk {disk.name} is not that of the content it names.")
    return join_segments(disk.size, segments)
