# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an unfinished pull has done so far, a line each: what it began to fetch, what it wrote, what it took from other images.

A line comes after the bytes that it tells of. What it tells is a hint of where to look: the next run compares every block with its
digest, so that neither a power cut nor a stranger's hand can make a wrong image of it.
"""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .._files import partial_path, remove, state_dir, state_top

if TYPE_CHECKING:
    from .._catalog.blocks import DiskBlocks
    from .._catalog.ranges import Part

_BEGUN, _DONE, _LOCAL = "begun", "done", "local"
_MOST_BYTES = 64 << 20


class PullLog:
    """The log of the pull to `dest`."""

    def __init__(self, dest: str) -> None:
        self._name = f"{hashlib.sha256(os.fsencode(dest)).hexdigest()[:32]}.log"
        self._partial = partial_path(dest)
        self._handle = -1

    @property
    def path(self) -> str:
        return os.path.join(state_top(), "pulls", self._name)

    def open(self, identity: dict[str, Any], *, fresh: bool) -> None:
        """Go on with the log, or begin a new one of the pull that `identity` names."""
        path = os.path.join(state_dir("pulls"), self._name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self._handle = os.open(path, flags | (os.O_TRUNC if fresh else 0), 0o600)
        # A line that a kill has cut off ends here.
        self._append(json.dumps(self._whole(identity), sort_keys=True) if fresh else "")

    def _whole(self, identity: dict[str, Any]) -> dict[str, Any]:
        """What must be the same for an earlier run to be gone on with: the pull, and the very file that was written."""
        return {**identity, "inode": os.lstat(self._partial).st_ino}

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def forget(self) -> None:
        """There is nothing to go on with any more."""
        self.close()
        remove(self.path)

    def begun(self, part: Part) -> None:
        """The part is being fetched."""
        self._append(f"{_BEGUN} {part.pack} {part.start} {part.end}")

    def done(self, part: Part) -> None:
        """Its blocks are written."""
        self._append(f"{_DONE} {part.pack} {part.start} {part.end}")

    def local(self, first: int, last: int) -> None:
        """Blocks from one index to another, both among them, were taken from other images."""
        self._append(f"{_LOCAL} {first} {last}")

    def _append(self, line: str) -> None:
        os.write(self._handle, f"{line}\n".encode())

    def load(self, identity: dict[str, Any], blocks: DiskBlocks) -> Past | None:
        """What an earlier run of just this pull did; None when there was none."""
        try:
            with open(self.path, "rb") as stream:
                lines = stream.read(_MOST_BYTES).decode("ascii", "replace").splitlines()
            if not lines or json.loads(lines[0]) != self._whole(identity):
                return None
        except (FileNotFoundError, ValueError):
            return None
        return Past(lines[1:], blocks)


class Past:
    """`written` are the blocks that an earlier run wrote, as a log tells; `asked` those that it asked a catalog for."""

    def __init__(self, lines: Sequence[str], blocks: DiskBlocks) -> None:
        packs, offsets = blocks.pack_of, blocks.offsets
        self._order = sorted(range(len(blocks)), key=lambda index: (packs[index], offsets[index]))
        self._keys = [(packs[index], offsets[index]) for index in self._order]
        self.written, self.asked = bytearray(len(blocks)), bytearray(len(blocks))
        for line in lines:
            self._read(line.split(" "))

    def _read(self, words: Sequence[str]) -> None:
        kind, *numbers = words
        if not all(number.isdecimal() for number in numbers):
            return
        values = [int(number) for number in numbers]
        if kind == _LOCAL and len(values) == 2 and values[0] <= values[1] < len(self.written):
            self.written[values[0] : values[1] + 1] = b"\1" * (values[1] + 1 - values[0])
        elif kind in (_BEGUN, _DONE) and len(values) == 3:
            marked = self.asked if kind == _BEGUN else self.written
            for index in self._within(*values):
                marked[index] = 1

    def _within(self, pack: int, start: int, end: int) -> Iterator[int]:
        for at in range(bisect_left(self._keys, (pack, start)), bisect_left(self._keys, (pack, end))):
            yield self._order[at]
