# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A named piece of a qcow2 file that one table occupies, and the entries of such a table."""

from __future__ import annotations

from array import array
from collections.abc import Collection
from dataclasses import dataclass

from .reader import Malformed, Reader

OTHER, ACTIVE, SNAPSHOT, REFCOUNTS, BITMAP = "", "active", "snapshot", "refcounts", "bitmap"


@dataclass(frozen=True)
class Region:
    """Where a table lies; kind says how its entries are read, disk_size what an L1 table describes."""

    what: str
    offset: int
    length: int
    kind: str = OTHER
    disk_size: int = 0

    @property
    def end(self) -> int:
        return self.offset + self.length

    def checked(self, image: Reader, alignment: int) -> Region:
        """The same region, if it is aligned and inside the file."""
        if self.offset % alignment or not self.offset:
            raise Malformed("table-bounds", f"The {self.what} lies at {self.offset}, which is no cluster of its own.")
        if self.end > image.size:
            raise Malformed(
                "truncated",
                f"The {self.what} ends at byte {self.end}, the file already at {image.size}; get the file again.",
            )
        return self


@dataclass(frozen=True)
class Pointers:
    """The entries of a table that are not empty: where in the table, the offsets they hold, and how many there are in all."""

    indexes: array[int]
    offsets: array[int]
    total: int

    def without(self, seen: Collection[int]) -> Pointers:
        """Those that point elsewhere."""
        fresh = [at for at, offset in enumerate(self.offsets) if offset not in seen]
        return Pointers(
            array("I", [self.indexes[at] for at in fresh]),
            array("Q", [self.offsets[at] for at in fresh]),
            self.total - len(self.offsets) + len(fresh),
        )
