# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the serial console said since the VM's start, read from the outside out of virtlogd's files.

virtlogd writes LOG, and when that is full renames LOG to LOG.0, LOG.0 to LOG.1 and so on. A reader follows by inode. With
append='off' a start begins a new LOG; rotated files of an earlier start are told by their time.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field

_WINDOW = 64 << 10
_MOST_BACKUPS = 100
_NEVER = re.compile(r"(?!)")
# ECMA-48 control sequences, operating system commands, other escapes; then control characters but tab and newline.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1bc|\x1b[@-_=>78()][0-9A-B]?|[\x00-\x08\x0b-\x1f\x7f]"
)


def cleaned(data: bytes) -> str:
    """Text without carriage returns, control characters and terminal sequences."""
    return _ESCAPES.sub("", data.decode("utf-8", errors="replace"))


@dataclass
class Console:
    """A reader of the log `path`; files last written before `since` (seconds since the epoch) belong to an earlier start.

    `past` is what had been said before the log began.
    """

    path: str
    since: float = 0.0
    past: bytes = b""
    _inode: int | None = field(default=None, init=False)
    _offset: int = field(default=0, init=False)
    _window: bytes = field(default=b"", init=False)

    def find(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """The first match in output that wasn't there at the last call, or crosses into it; None when there is none."""
        if self.past:
            self._window, self.past = self.past[-_WINDOW:], b""
            match = pattern.search(cleaned(self._window))
            if match:
                return match
        for path in self._unread():
            match = self._search(path, pattern)
            if match:
                return match
        return None

    def tail(self, lines: int = 10) -> list[str]:
        """The last lines of what was read, without empty ones."""
        said = [line.rstrip() for line in cleaned(self._window).split("\n")]
        return [line for line in said if line][-lines:]

    def recent(self) -> bytes:
        """The end of all that was said until now, 64 KiB at most."""
        self.find(_NEVER)
        return self._window

    def _files(self) -> list[str]:
        """The log's files of this start, oldest first."""
        names = [self.path]
        for number in range(_MOST_BACKUPS):
            name = f"{self.path}.{number}"
            if not os.path.exists(name):
                break
            names.append(name)
        return [name for name in reversed(names) if _written(name) >= self.since]

    def _unread(self) -> list[str]:
        """Files that may hold new output: the one read last, and those after it."""
        files = self._files()
        inodes = [_inode(name) for name in files]
        return files[inodes.index(self._inode) :] if self._inode in inodes else files

    def _search(self, path: str, pattern: re.Pattern[str]) -> re.Match[str] | None:
        with contextlib.suppress(FileNotFoundError), open(path, "rb") as stream:
            self._seek(os.fstat(stream.fileno()))
            stream.seek(self._offset)
            for chunk in iter(lambda: stream.read(_WINDOW), b""):
                self._offset += len(chunk)
                # As much old output as new: what starts in one chunk and ends in the next is found.
                window = self._window[-_WINDOW:] + chunk
                self._window = window[-_WINDOW:]
                match = pattern.search(cleaned(window))
                if match:
                    return match
        return None

    def _seek(self, status: os.stat_result) -> None:
        """Start anew for another file, and for one that was cut."""
        if status.st_ino != self._inode or status.st_size < self._offset:
            self._inode, self._offset = status.st_ino, 0


def _written(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return -1.0


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return None
