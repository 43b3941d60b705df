# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a file that is there holds a disk of an image, block by block against the block index."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from bisect import bisect_left
from collections.abc import Iterator
from typing import Callable

from .._catalog.blocks import DIGEST, DiskBlocks
from .._catalog.segment import BLOCK_SIZE
from .._formats.compress_pool import workers
from .._formats.guest_content import GuestContent, RawContent
from .._formats.qcow2_plain import CLUSTER
from .._qemu.node import Image
from .guest_pieces import pieces
from .image_pull_layout import Layout, layout_of
from .side_by_side import side_by_side

_ZEROS = bytes(BLOCK_SIZE)
# Told how many bytes were read since the last call.
Report = Callable[[int], None]


def first_difference(path: str, format: str, blocks: DiskBlocks, *, report: Report) -> int | None:
    """The first byte of the disk, by blocks, that the image at `path` holds otherwise; None when it holds the same.

    The image has been inspected, has the disk's size and rests on no other file.
    """
    with _content(path, format, blocks) as content:
        found = _Comparison(content, blocks, report)
        side_by_side(pieces(content), work=found.look, threads=workers())
        return found.result()


@contextlib.contextmanager
def _content(path: str, format: str, blocks: DiskBlocks) -> Iterator[GuestContent]:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        layout = layout_of(blocks, format)
        if format == "raw":
            yield RawContent(handle, blocks.size)
        elif _has_layout(handle, layout):
            yield _OwnContent(handle, blocks, layout)
        else:
            from .._qemu.nbd_export import exported

            with exported(Image(path, format), readers=workers()) as content:
                yield content
    finally:
        os.close(handle)


def _has_layout(handle: int, layout: Layout) -> bool:
    """Whether the file has just the tables that a pull writes."""
    head, tables = layout.header(), layout.tables()
    return (
        os.fstat(handle).st_size == layout.file_size
        and os.pread(handle, len(head), 0) == head
        and os.pread(handle, len(tables), CLUSTER) == tables
    )


class _OwnContent:
    """The guest's view of a file that a pull wrote, by the block index that it was written by."""

    def __init__(self, handle: int, blocks: DiskBlocks, layout: Layout) -> None:
        self._handle = handle
        self._numbers = blocks.numbers
        self._layout = layout
        self.size = blocks.size

    def extents(self) -> Iterator[tuple[int, int]]:
        for number in self._numbers:
            yield number * BLOCK_SIZE, (number + 1) * BLOCK_SIZE

    def read(self, offset: int, length: int) -> bytes:
        """Whole blocks that are in the index."""
        first = bisect_left(self._numbers, offset // BLOCK_SIZE)
        return os.pread(self._handle, length, self._layout.offset(first))


class _Comparison:
    def __init__(self, content: GuestContent, blocks: DiskBlocks, report: Report) -> None:
        self._content = content
        self._blocks = blocks
        self._report = report
        self._seen = bytearray(len(blocks))
        self._wrong: list[int] = []
        self._lock = threading.Lock()

    def look(self, piece: tuple[int, int]) -> None:
        """Compare the blocks of one piece."""
        start, end = piece
        view, numbers = memoryview(self._content.read(start, end - start)), self._blocks.numbers
        index = bisect_left(numbers, start // BLOCK_SIZE)
        for at in range(0, end - start, BLOCK_SIZE):
            number, data = (start + at) // BLOCK_SIZE, view[at : at + BLOCK_SIZE]
            known = index < len(numbers) and numbers[index] == number
            if known:
                self._seen[index] = 1
            if not (self._is_right(index, data) if known else data == _ZEROS[: len(data)]):
                self._wrong.append(number)
            index += known
        with self._lock:
            self._report(end - start)

    def _is_right(self, index: int, data: memoryview) -> bool:
        wanted = self._blocks.digests[index * DIGEST : (index + 1) * DIGEST]
        content = data if len(data) == BLOCK_SIZE else bytes(data).ljust(BLOCK_SIZE, b"\0")
        return hashlib.sha256(content).digest() == wanted

    def result(self) -> int | None:
        """Where the first difference is; blocks that nothing was read of are holes, and should not be."""
        unseen = self._seen.find(0)
        found = [*self._wrong, *([self._blocks.numbers[unseen]] if unseen >= 0 else [])]
        return min(found) * BLOCK_SIZE if found else None
