# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of an image this host has already: where blocks that are wanted lie in files that are here."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from .._catalog.blocks import DIGEST, DiskBlocks, join_segments
from .._catalog.segment import BLOCK_SIZE, read_segment
from .._errors import TransferError
from .._formats.guest_content import GuestContent
from .held_images import HeldImage
from .image_pull_layout import Layout, layout_of
from .segment_cache import SegmentCache

# Blocks that are read together.
_MOST_RUN = 16


@dataclass(frozen=True)
class Seed:
    """An open file that holds blocks: their digests one behind the other, and where each lies. `trusted`: nobody wrote to it.

    Where `content` is given, that is read, and the file itself only when it has a `handle` (not -1).
    """

    path: str
    handle: int
    digests: bytes | bytearray
    offsets: Sequence[int]
    trusted: bool = False
    content: GuestContent | None = None

    def read(self, offset: int, length: int) -> bytes:
        """What lies there; less at the file's end."""
        return self.content.read(offset, length) if self.content else os.pread(self.handle, length, offset)


@dataclass(frozen=True)
class Run:
    """Neighbouring blocks, the indexes `first` to `last`, that lie in a seed one behind the other from `offset` on."""

    seed: Seed
    offset: int
    first: int
    last: int

    @property
    def indexes(self) -> range:
        return range(self.first, self.last + 1)


@contextlib.contextmanager
def held_seeds(images: Iterable[HeldImage], cache: SegmentCache, *, trusting: bool) -> Iterator[list[Seed]]:
    """The files of `images`, open, whose block index is in the cache."""
    seeds: list[Seed] = []
    try:
        for held in images:
            seed = _seed_of(held, cache, trusting)
            if seed is not None:
                seeds.append(seed)
        yield seeds
    finally:
        for seed in seeds:
            os.close(seed.handle)


def _seed_of(held: HeldImage, cache: SegmentCache, trusting: bool) -> Seed | None:
    blocks = _blocks_of(held, cache)
    if blocks is None:
        return None
    layout = layout_of(blocks, held.format)
    try:
        handle = os.open(held.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    offsets = [layout.offset(index) for index in range(len(blocks))]
    return Seed(held.path, handle, blocks.digests, offsets, trusting and held.valid)


def _blocks_of(held: HeldImage, cache: SegmentCache) -> DiskBlocks | None:
    segments = []
    for number, digest in held.segments:
        data = cache.get(digest)
        if data is None:
            return None
        try:
            segments.append(read_segment(data, number=number, where=held.path))
        except TransferError:
            return None
    return join_segments(held.size, segments)


def find_runs(blocks: DiskBlocks, missing: Iterable[int], layout: Layout, seeds: Sequence[Seed]) -> list[Run]:
    """Where the blocks `missing` lie in `seeds`, the earlier ones first; neighbours together."""
    wanted: dict[bytes, list[int]] = {}
    for index in missing:
        wanted.setdefault(blocks.digest(index), []).append(index)
    runs: list[Run] = []
    for seed in seeds:
        found = sorted(_found_in(seed, wanted))
        runs.extend(_joined(seed, found, layout))
    return runs


def _found_in(seed: Seed, wanted: dict[bytes, list[int]]) -> Iterator[tuple[int, int]]:
    digests = bytes(seed.digests)
    for place, offset in enumerate(seed.offsets):
        indexes = wanted.pop(digests[place * DIGEST : (place + 1) * DIGEST], None)
        if indexes:
            for index in indexes:
                yield offset, index


def _joined(seed: Seed, found: Sequence[tuple[int, int]], layout: Layout) -> Iterator[Run]:
    run: Run | None = None
    for offset, index in found:
        if run is not None and _follows(run, offset, index, layout):
            run = Run(seed, run.offset, run.first, index)
            continue
        if run is not None:
            yield run
        run = Run(seed, offset, index, index)
    if run is not None:
        yield run


def _follows(run: Run, offset: int, index: int, layout: Layout) -> bool:
    count = len(run.indexes)
    return (
        count < _MOST_RUN
        and index == run.last + 1
        and offset == run.offset + count * BLOCK_SIZE
        and layout.offset(index) == layout.offset(run.last) + BLOCK_SIZE
    )
