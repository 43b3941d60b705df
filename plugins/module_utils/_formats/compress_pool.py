# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compression on all cores: batches of a disk's blocks go to threads and come back in order.

A batch is read, searched for zeros and compressed by one thread. Only a bounded number is under way, so memory stays small
whatever the disk's size.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Callable, TypeVar

from .guest_content import GuestContent

T = TypeVar("T")

_BATCH = 1 << 20
_MOST_THREADS = 16


@dataclass(frozen=True)
class Block:
    """One block that isn't zero: its number, and its bytes as the target's format stores them, with a checksum if that is needed."""

    number: int
    data: bytes
    compressed: bool
    checksum: int = 0


@dataclass(frozen=True)
class Batch:
    """Blocks of one stretch of the disk, `end` bytes from its start; `read` bytes were read for them."""

    end: int
    read: int
    blocks: list[Block]


Pack = Callable[[int, bytes], Block]
# Called with how far in the disk the work is, and how many bytes were read since the last call.
Report = Callable[[int, int], None]


def workers() -> int:
    """How many batches are worked on at once."""
    return min(_MOST_THREADS, len(os.sched_getaffinity(0)))


def packed(content: GuestContent, *, block_size: int, pack: Pack) -> Iterator[Batch]:
    """All blocks of `content` that aren't zero, in order, each as `pack(number, bytes)` gives it."""
    calls = (partial(_batch, content, start, end, block_size, pack) for start, end in _stretches(content, block_size))
    # A thread that waits for Python's lock, or for another's read, leaves no processor idle.
    return in_order(calls, threads=workers() + 1)


def in_order(calls: Iterable[Callable[[], T]], *, threads: int) -> Iterator[T]:
    """What each call returns, in their order; that many are worked on at once, and a few more wait for their turn."""
    under_way: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for call in calls:
                under_way.append(pool.submit(call))
                if len(under_way) > 2 * threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def store(content: GuestContent, *, block_size: int, pack: Pack, add: Callable[[Block], None], report: Report) -> None:
    """Give `add` every block that isn't zero, in order, as `pack` makes it; `report` is called after every batch."""
    for batch in packed(content, block_size=block_size, pack=pack):
        for block in batch.blocks:
            add(block)
        report(batch.end, batch.read)


def data_size(content: GuestContent, *, block_size: int) -> int:
    """How many bytes `packed` reads: the blocks that hold data, by the tables of the disk and not by its bytes."""
    return sum(end - start for start, end in _runs(content, block_size))


def _stretches(content: GuestContent, block_size: int) -> Iterator[tuple[int, int]]:
    """Whole blocks that hold data, at most a batch at once; none twice."""
    step = max(block_size, _BATCH)
    for start, end in _runs(content, block_size):
        for at in range(start, end, step):
            yield at, min(at + step, end)


def _runs(content: GuestContent, block_size: int) -> Iterator[tuple[int, int]]:
    """Offset and end of whole blocks that hold data, ascending; none twice."""
    done, last = 0, -(-content.size // block_size) * block_size
    for start, end in content.extents():
        at = max(done, start // block_size * block_size)
        done = max(done, min(-(-end // block_size) * block_size, last))
        if at < done:
            yield at, done


def _batch(content: GuestContent, start: int, end: int, block_size: int, pack: Pack) -> Batch:
    data = content.read(start, end - start)
    zeros = bytes(block_size)
    blocks = []
    for at in range(0, len(data), block_size):
        piece = data[at : at + block_size]
        if piece != zeros:
            blocks.append(pack((start + at) // block_size, piece))
    return Batch(min(end, content.size), end - start, blocks)
