# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small pieces that lie behind each other, written together: a call of the kernel's per piece costs as much as fast compression."""

from __future__ import annotations

import os

# Many pieces of a few bytes are no more than the kernel takes at once.
_MOST_BYTES, _MOST_PIECES = 4 << 20, os.sysconf("SC_IOV_MAX")


class GatheredWrites:
    """Writes to the file `handle`, some `most` bytes at once; what was given is in the file after `flush`."""

    def __init__(self, handle: int, *, most: int = _MOST_BYTES) -> None:
        self._handle = handle
        self._most = most
        self._pieces: list[bytes | memoryview] = []
        self._start = self._end = 0

    def write(self, data: bytes | memoryview, offset: int) -> None:
        """Take `data` for `offset`."""
        if offset != self._end or len(self._pieces) == _MOST_PIECES or self._end - self._start >= self._most:
            self.flush()
            self._start = self._end = offset
        self._pieces.append(data)
        self._end += len(data)

    def flush(self) -> None:
        """Write all that was given."""
        if not self._pieces:
            return
        done = os.pwritev(self._handle, self._pieces, self._start)
        if done < self._end - self._start:
            write_at(self._handle, b"".join(self._pieces)[done:], self._start + done)
        if self._end - self._start >= self._most:
            # Linux begins to write them to the disk, so that little is left for fsync(2).
            os.posix_fadvise(self._handle, self._start, self._end - self._start, os.POSIX_FADV_DONTNEED)
        self._pieces = []


def write_at(handle: int, data: bytes, offset: int) -> None:
    """Write all of `data` at `offset`, in as many calls as the kernel wants."""
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:] if done else data, offset + done)
