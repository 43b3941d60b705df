# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are mostly holes: the sectors that a parser reads of a real image, and a size that may be anything."""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECTOR = 512


class Stream:
    """What a parser reads from; it remembers what was read where `seen` is given."""

    def __init__(self, sectors: dict[int, bytes], size: int) -> None:
        self.sectors, self.size = sectors, size
        self._order = sorted(sectors)
        self._at = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + (self.size if whence == os.SEEK_END else 0)
        return self._at

    def read(self, length: int) -> bytes:
        start, end = self._at, min(self._at + length, self.size)
        if end <= start:
            return b""
        found = bytearray(end - start)
        for number in self._order[bisect_left(self._order, start // SECTOR) :]:
            if number * SECTOR >= end:
                break
            low, high = max(start, number * SECTOR), min(end, (number + 1) * SECTOR)
            piece = self.sectors[number]
            found[low - start : high - start] = piece[low - number * SECTOR : high - number * SECTOR]
        self._at = end
        return bytes(found)


class Witness:
    """A real file that remembers which of its sectors were read."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb", buffering=0)
        self.read_sectors: dict[int, bytes] = {}

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, length: int) -> bytes:
        start = self._file.tell()
        data = self._file.read(length)
        for at in range(start // SECTOR, -(-(start + len(data)) // SECTOR)):
            piece = data[max(at * SECTOR - start, 0) : (at + 1) * SECTOR - start]
            if any(piece):
                known = bytearray(self.read_sectors.get(at, bytes(SECTOR)))
                begin = max(start - at * SECTOR, 0)
                known[begin : begin + len(piece)] = piece
                self.read_sectors[at] = bytes(known)
        return data

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class Seed:
    """An image to start from; `spots` are the places where something stands."""

    name: str
    declared: str
    size: int
    sectors: dict[int, bytes]
    spots: tuple[int, ...]


def seed_of(name: str, path: Path, declared: str, inspect: Any) -> Seed:
    """What a parser reads of a file."""
    witness, size = Witness(path), path.stat().st_size
    inspect(witness, size=size, declared=declared)
    witness.close()
    sectors = witness.read_sectors
    words = (
        (number * SECTOR + at, sectors[number][at : at + 4]) for number in sorted(sectors) for at in range(0, SECTOR, 4)
    )
    # Of a row of equal words, such as the unused entries of a table, the first one stands for all.
    spots, before = [], b""
    for offset, word in words:
        if any(word) and word != before:
            spots.append(offset)
        before = word
    return Seed(name, declared, size, sectors, tuple(spots[:MOST_SPOTS]) or (0,))


MOST_SPOTS = 8192
