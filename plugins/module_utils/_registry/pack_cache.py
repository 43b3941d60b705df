# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of packs that a host has fetched and hands on: a sparse file for each pack, and a log of what of it is there.

A line of the log, "offset length", is written after the bytes. One process writes while others read. Nothing is flushed, since nobody
believes what is in here without comparing digests.
"""

from __future__ import annotations

import bisect
import contextlib
import os
import stat
import threading
from typing import BinaryIO

from .._catalog.digest import digest_bytes, is_digest
from .._errors import NotFound, TransferError

_LOG = ".ranges"
_MOST_LINE = 64
_MOST_READ = 8 << 20


class PackCache:
    """The cache in `folder`, made by the first write."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._logs: dict[str, _Log] = {}

    def write(self, digest: str, offset: int, data: bytes | memoryview) -> None:
        """Keep these bytes of a pack."""
        path = self._path(digest)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            _write_at(handle, offset, memoryview(data))
        finally:
            os.close(handle)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        log = os.open(path + _LOG, flags, 0o600)
        try:
            os.write(log, f"{offset} {len(data)}\n".encode())
        finally:
            os.close(log)

    def has(self, digest: str, offset: int, length: int) -> bool:
        """Whether all these bytes are there."""
        path = self._path(digest)
        with self._lock:
            return self._logs.setdefault(digest, _Log(path + _LOG)).holds(offset, length)

    def open(self, digest: str) -> BinaryIO:
        """The pack's file, of which only what `has` says is there means anything; raises NotFound."""
        try:
            handle = os.open(self._path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise NotFound(f"The pack {digest} is not in the cache {self.folder}.") from None
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise NotFound(f"The pack {digest} in the cache {self.folder} is no file.")
        return os.fdopen(handle, "rb", buffering=0)

    def read(self, digest: str, offset: int, length: int) -> bytes:
        """These bytes; raises NotFound when they aren't all there."""
        if not self.has(digest, offset, length):
            raise NotFound(f"The cache {self.folder} does not hold bytes {offset} to {offset + length} of {digest}.")
        with self.open(digest) as stream:
            data = os.pread(stream.fileno(), length, offset)
        if len(data) != length:
            raise NotFound(f"The cache {self.folder} is damaged: the pack {digest} is shorter than its log says.")
        return data

    def changed(self) -> float:
        """When something was last written (seconds since the epoch), 0 when nothing ever was."""
        newest = 0.0
        with contextlib.suppress(FileNotFoundError), os.scandir(self.folder) as found:
            for entry in found:
                if entry.name.endswith(_LOG):
                    newest = max(newest, entry.stat(follow_symlinks=False).st_mtime)
        return newest

    def _path(self, digest: str) -> str:
        if not is_digest(digest):
            raise TransferError(f"'{digest[:80]}' is no sha256 digest, so it names no pack.")
        return os.path.join(self.folder, digest_bytes(digest).hex())


def _write_at(handle: int, offset: int, data: memoryview) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], offset + done)


class _Log:
    """What the log at `path` says; only what is new in it is read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._position = 0
        self._starts: list[int] = []
        self._ends: list[int] = []

    def holds(self, offset: int, length: int) -> bool:
        return self._covers(offset, length) or (self._read_on() and self._covers(offset, length))

    def _covers(self, offset: int, length: int) -> bool:
        at = bisect.bisect_right(self._starts, offset) - 1
        return at >= 0 and self._ends[at] >= offset + length

    def _read_on(self) -> bool:
        """Read the lines that came since; whether there were any."""
        try:
            with open(self._path, "rb") as stream:
                stream.seek(self._position)
                data = stream.read(_MOST_READ)
        except FileNotFoundError:
            return False
        # The last line may still be being written.
        data = data[: data.rfind(b"\n") + 1]
        self._position += len(data)
        for line in data.splitlines():
            numbers = line.split() if len(line) <= _MOST_LINE else []
            if len(numbers) == 2 and all(number.isdigit() for number in numbers):
                self._add(int(numbers[0]), int(numbers[1]))
        return bool(data)

    def _add(self, offset: int, length: int) -> None:
        """Join the range with those that touch it."""
        first = bisect.bisect_left(self._ends, offset)
        last = bisect.bisect_right(self._starts, offset + length)
        start = min([offset, *self._starts[first:last]])
        end = max([offset + length, *self._ends[first:last]])
        self._starts[first:last], self._ends[first:last] = [start], [end]
