# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one file that imports zstandard: zstd frames, called as the standard library's decompressors are."""

from __future__ import annotations

import functools
import threading
from typing import Any

from .._libraries import missing_library, use_own_libraries

# zstd's own default, and what its program takes without being asked.
_MOST_WINDOW = 128 << 20
# What comes of one call has no limit but this: four bytes can stand for a block of 128 KiB (RFC 8878, 3.1.1.2.2).
_PIECE = 256


class DamagedFrame(Exception):
    """What the library says of a frame that it can't decompress."""


@functools.cache
def library() -> Any:
    """The module `zstandard`; raises MissingLibrary."""
    use_own_libraries()
    try:
        import zstandard
    except ImportError:
        ways = "or run the role imageops.fleet.hypervisor, or install zstandard from PyPI, or use another compression"
        raise missing_library("zstandard", ways) from None
    return zstandard


class ZstdDecompressor:
    """Decompresses one frame."""

    def __init__(self) -> None:
        self._frame = library().ZstdDecompressor(max_window_size=_MOST_WINDOW).decompressobj()
        self._input = memoryview(b"")
        self._output = memoryview(b"")

    def decompress(self, data: bytes, most: int) -> bytes:
        """At most `most` bytes of what `data`, and what was given before, holds."""
        if data:
            self._input = memoryview(bytes(self._input) + data)
        pieces, length = [self._output], len(self._output)
        while length < most and self._input and not self._frame.eof:
            piece, self._input = self._input[:_PIECE], self._input[_PIECE:]
            pieces.append(memoryview(self._decompressed(piece)))
            length += len(pieces[-1])
        whole = memoryview(b"".join(pieces))
        self._output = whole[most:]
        return bytes(whole[:most])

    def _decompressed(self, piece: memoryview) -> bytes:
        try:
            found: bytes = self._frame.decompress(piece)
        except library().ZstdError as error:
            raise DamagedFrame(str(error)) from None
        return found

    @property
    def needs_input(self) -> bool:
        return not self._input and not self._output

    @property
    def eof(self) -> bool:
        return bool(self._frame.eof) and not self._output

    @property
    def unused_data(self) -> bytes:
        return bytes(self._frame.unused_data) + bytes(self._input)


class FrameDecompressor:
    """Decompresses frames that hold `size` bytes each, as one thread does."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._library = library()
        self._engine = self._library.ZstdDecompressor()

    def decompress(self, frame: bytes | memoryview) -> bytes:
        """The content of one frame; raises DamagedFrame, also for one that says it holds more or less."""
        try:
            # The library would make room for whatever the frame says.
            if self._library.frame_content_size(frame) != self._size:
                raise DamagedFrame(f"it doesn't hold {self._size} bytes")
            found: bytes = self._engine.decompress(frame)
        except self._library.ZstdError as error:
            raise DamagedFrame(str(error)) from None
        return found


class FrameCompressor:
    """Compresses pieces to one frame each, which says how many bytes it holds; equal pieces give equal frames. For several threads.

    The library can also compress many pieces by one call, but distributions build it without that.
    """

    def __init__(self, level: int) -> None:
        self._library = library()
        self._level = level
        self._mine = threading.local()

    def compress(self, data: bytes) -> bytes:
        """The frame of `data`."""
        engine = getattr(self._mine, "engine", None)
        if engine is None:
            engine = self._mine.engine = self._library.ZstdCompressor(level=self._level, write_content_size=True)
        found: bytes = engine.compress(data)
        return found
