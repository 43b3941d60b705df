# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file written from its start to its end, without the zeros that it needn't store."""

from __future__ import annotations

import os

# Blocks that hold only zeros stay holes; a multiple of every file system's block.
_GRAIN = 64 << 10
_ZEROS = bytes(_GRAIN)


class SparseWriter:
    """Appends to the open file `handle`, beginning at `position`."""

    def __init__(self, handle: int, position: int = 0) -> None:
        self._handle = handle
        self.position = position
        self.stored = 0

    def write(self, data: bytes) -> None:
        """Append `data`; runs of zeros become holes."""
        at, start, size = 0, 0, len(data)
        while at < size:
            piece = data[at : at + _GRAIN]
            if piece == _ZEROS[: len(piece)]:
                self._store(data, start, at)
                start = at + len(piece)
            at += len(piece)
        self._store(data, start, size)
        self.position += size

    def _store(self, data: bytes, start: int, end: int) -> None:
        view = memoryview(data)
        while start < end:
            done = os.pwrite(self._handle, view[start:end], self.position + start)
            start += done
            self.stored += done

    def sync(self) -> None:
        """Give the file its length and flush what was written."""
        self.end()
        os.fdatasync(self._handle)

    def end(self) -> None:
        """Give the file its length: the last bytes may be a hole."""
        os.ftruncate(self._handle, self.position)
