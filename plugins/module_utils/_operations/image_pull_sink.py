# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The image's file while its blocks come: each is compared with its digest, and then written to its place.

Several threads call it at once; the library, hashing and writing let others run meanwhile.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence

from .._catalog.blocks import DIGEST, DiskBlocks
from .._catalog.ranges import Part
from .._catalog.segment import BLOCK_SIZE
from .._formats.gathered_writes import GatheredWrites, write_at
from .._formats.qcow2_plain import CLUSTER
from .._transfer.zstd import DamagedFrame, FrameDecompressor
from .image_pull_layout import Layout

# So much is written at once: more would not stay in a processor's cache until then.
_TOGETHER = 1 << 20


class BadBlock(Exception):
    """A block isn't what its digest says; `index` is its place in DiskBlocks."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(why)
        self.index = index
        self.why = why


class Sink:
    """Blocks into the open file `handle`; `have` says which are there."""

    def __init__(self, handle: int, blocks: DiskBlocks, layout: Layout) -> None:
        self.handle = handle
        self.blocks = blocks
        self.layout = layout
        self.have = bytearray(len(blocks))
        self._of_thread = threading.local()

    def missing(self) -> list[int]:
        """The blocks that aren't there yet."""
        return [index for index, there in enumerate(self.have) if not there]

    def begin(self) -> None:
        """Give the file its size and what isn't data; without a header it is no image yet."""
        os.ftruncate(self.handle, self.layout.file_size)
        tables = self.layout.tables()
        if tables:
            write_at(self.handle, tables, CLUSTER)

    def finish(self) -> None:
        """Write the header; a raw file's last block may have reached behind the end."""
        os.ftruncate(self.handle, self.layout.file_size)
        if self.layout.header():
            write_at(self.handle, self.layout.header(), 0)

    def take_part(self, part: Part, data: bytes) -> None:
        """Write the blocks of a part of a pack, which is `data`; raises BadBlock, what came before it is written."""
        decompressor, view = self._decompressor(), memoryview(data)
        offsets, lengths = self.blocks.offsets, self.blocks.lengths
        file, last, content = GatheredWrites(self.handle, most=_TOGETHER), -1, b""
        try:
            for index in part.blocks:
                at = offsets[index] - part.start
                if at != last:
                    content, last = self._content(decompressor, view[at : at + lengths[index]], index), at
                self._require(index, content)
                file.write(content, self.layout.offset(index))
                self.have[index] = 1
        finally:
            file.flush()

    def take_copy(self, indexes: Sequence[int], data: bytes, *, write: bool = True) -> int:
        """Write those blocks of `data`, which lie one behind the other, whose digest is right; how many.

        With `write` off they are in the file already.
        """
        view, file, good = memoryview(data), GatheredWrites(self.handle, most=_TOGETHER), 0
        for place, index in enumerate(indexes):
            content = view[place * BLOCK_SIZE : (place + 1) * BLOCK_SIZE]
            if not self._is_right(index, content):
                continue
            if write:
                file.write(content, self.layout.offset(index))
            self.have[index] = 1
            good += 1
        file.flush()
        return good

    def _decompressor(self) -> FrameDecompressor:
        if not hasattr(self._of_thread, "engine"):
            self._of_thread.engine = FrameDecompressor(BLOCK_SIZE)
        engine: FrameDecompressor = self._of_thread.engine
        return engine

    @staticmethod
    def _content(decompressor: FrameDecompressor, frame: memoryview, index: int) -> bytes:
        try:
            return decompressor.decompress(frame)
        except DamagedFrame as error:
            raise BadBlock(index, f"its frame can't be decompressed ({error})") from None

    def _is_right(self, index: int, content: bytes | memoryview) -> bool:
        if len(content) < BLOCK_SIZE:
            content = bytes(content).ljust(BLOCK_SIZE, b"\0")
        wanted = self.blocks.digests[index * DIGEST : (index + 1) * DIGEST]
        return hashlib.sha256(content).digest() == wanted

    def _require(self, index: int, content: bytes) -> None:
        if not self._is_right(index, content):
            raise BadBlock(index, "it has another digest")
