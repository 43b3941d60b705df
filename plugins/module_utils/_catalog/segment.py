# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of the block index: which block of a disk's content is where in which pack.

A block is 64 KiB of the guest's address space, named by the sha256 of its plain bytes; a disk's last one is filled up with zeros.
Blocks of zeros are in no segment. A segment covers 16,384 blocks (1 GiB) of one disk. It names the packs itself, so it is the same
file in every version of an image in which that GiB did not change. All numbers are little-endian:

    8   magic
    4   number of blocks, n
    4   number of packs, p
    32p digests of the packs
    2n  numbers of the blocks within the segment, ascending
    2n  for each block the number of its pack in the list above
    4n  where its frame (zstd, RFC 8878; one a block) begins in the pack
    4n  how many bytes the frame has
    32n digests of the blocks
"""

from __future__ import annotations

import hashlib
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .._errors import TransferError
from .digest import digest_bytes, digest_text

BLOCK_SIZE = 64 << 10
SEGMENT_BLOCKS = 1 << 14
SEGMENT_SIZE = BLOCK_SIZE * SEGMENT_BLOCKS
# No frame of a block is longer: zstd adds little to what it can't compress (ZSTD_compressBound in zstd.h).
MOST_FRAME = BLOCK_SIZE + (BLOCK_SIZE >> 8) + 1024
MOST_PACK = 1 << 32

_MAGIC = b"IMOPSEG1"
_HEAD = struct.Struct("<8sII")
_DIGEST = 32
_PER_BLOCK = 2 + 2 + 4 + 4 + _DIGEST
MOST_SEGMENT = _HEAD.size + SEGMENT_BLOCKS * (_PER_BLOCK + _DIGEST)


@dataclass(frozen=True)
class Block:
    """One block of a disk: its number from the disk's start, the sha256 of its bytes, and where its frame is."""

    number: int
    digest: bytes
    pack: str
    offset: int
    length: int


@dataclass(frozen=True)
class Segment:
    """The blocks of one GiB; `number` counts the GiB of the disk from 0."""

    number: int
    packs: Sequence[str]
    numbers: array[int]
    pack_of: array[int]
    offsets: array[int]
    lengths: array[int]
    digests: bytes

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[Block]:
        first = self.number * SEGMENT_BLOCKS
        for index, number in enumerate(self.numbers):
            yield Block(
                first + number,
                self.digests[index * _DIGEST : (index + 1) * _DIGEST],
                self.packs[self.pack_of[index]],
                self.offsets[index],
                self.lengths[index],
            )

    def as_bytes(self) -> bytes:
        """The segment's file."""
        return b"".join(
            (
                _HEAD.pack(_MAGIC, len(self.numbers), len(self.packs)),
                *map(digest_bytes, self.packs),
                *map(_little, (self.numbers, self.pack_of, self.offsets, self.lengths)),
                self.digests,
            )
        )


def make_segment(number: int, blocks: Iterable[Block]) -> Segment:
    """The segment of `blocks`, which are in its range and ascend."""
    packs: dict[str, int] = {}
    numbers, pack_of, offsets, lengths = array("H"), array("H"), array("I"), array("I")
    digests = bytearray()
    for block in blocks:
        numbers.append(block.number - number * SEGMENT_BLOCKS)
        pack_of.append(packs.setdefault(block.pack, len(packs)))
        offsets.append(block.offset)
        lengths.append(block.length)
        digests += block.digest
    return Segment(number, tuple(packs), numbers, pack_of, offsets, lengths, bytes(digests))


def read_segment(data: bytes, *, number: int, where: str) -> Segment:
    """The segment in `data`; raises TransferError for what is none, every bound checked."""
    if len(data) < _HEAD.size:
        raise TransferError(f"{where}: the block index is cut off.")
    magic, count, packs = _HEAD.unpack_from(data)
    if magic != _MAGIC or count > SEGMENT_BLOCKS or packs > count:
        raise TransferError(f"{where}: this is no segment of a block index that this version reads.")
    if len(data) != _HEAD.size + packs * _DIGEST + count * _PER_BLOCK:
        raise TransferError(f"{where}: the block index has {len(data)} bytes, which its head contradicts.")
    at = _HEAD.size
    names = tuple(digest_text(data[at + i * _DIGEST : at + (i + 1) * _DIGEST]) for i in range(packs))
    at += packs * _DIGEST
    columns: list[array[int]] = []
    for code in "HHII":
        column = array(code)
        column.frombytes(data[at : at + count * column.itemsize])
        at += count * column.itemsize
        columns.append(_little_array(column))
    numbers, pack_of, offsets, lengths = columns
    segment = Segment(number, names, numbers, pack_of, offsets, lengths, data[at:])
    _require_sound(segment, where)
    return segment


def _require_sound(segment: Segment, where: str) -> None:
    numbers = segment.numbers
    if any(high <= low for low, high in zip(numbers, numbers[1:])) or (len(numbers) and numbers[-1] >= SEGMENT_BLOCKS):
        raise TransferError(f"{where}: the numbers of blocks in the block index don't ascend, or leave the segment.")
    if len(segment.pack_of) and max(segment.pack_of) >= len(segment.packs):
        raise TransferError(f"{where}: the block index names a pack that isn't in its list.")
    if any(not 0 < length <= MOST_FRAME for length in segment.lengths):
        raise TransferError(f"{where}: a frame in the block index is empty or longer than a block can be.")


def content_digest(size: int, segments: Iterable[Segment]) -> str:
    """What tells whether two disks have the same content, wherever their blocks are kept: their size, and all numbers and digests."""
    state = hashlib.sha256(struct.pack("<Q", size))
    for segment in segments:
        first = segment.number * SEGMENT_BLOCKS
        for index, number in enumerate(segment.numbers):
            state.update(struct.pack("<Q", first + number))
            state.update(segment.digests[index * _DIGEST : (index + 1) * _DIGEST])
    return digest_text(state.digest())


def _little(values: array[int]) -> bytes:
    return _little_array(array(values.typecode, values)).tobytes()


def _little_array(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
