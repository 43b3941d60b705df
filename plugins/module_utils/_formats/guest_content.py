# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The content that a guest sees, as the writers read it: pieces of data in ascending order, holes left out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from typing import Protocol


class GuestContent(Protocol):
    """A disk's content. Calls of `read` come from several threads at once."""

    size: int

    def extents(self) -> Iterator[tuple[int, int]]:
        """Offset and end of everything that may be other than zeros, ascending, without overlaps."""

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; zeros behind the end."""


class RawContent:
    """An open raw file or block device."""

    def __init__(self, handle: int, size: int) -> None:
        self._handle = handle
        self.size = size

    def extents(self) -> Iterator[tuple[int, int]]:
        """Data as the file system tells it (lseek(2), SEEK_DATA)."""
        at = 0
        while at < self.size:
            try:
                start = os.lseek(self._handle, at, os.SEEK_DATA)
            except OSError as error:
                if error.errno == errno.ENXIO:
                    return
                raise
            at = min(self.size, os.lseek(self._handle, start, os.SEEK_HOLE))
            if start < at:
                yield start, at

    def read(self, offset: int, length: int) -> bytes:
        """Read in as many calls as the kernel wants."""
        found = os.pread(self._handle, length, offset)
        while len(found) < length:
            more = os.pread(self._handle, length - len(found), offset + len(found))
            if not more:
                return found + bytes(length - len(found))
            found += more
        return found
