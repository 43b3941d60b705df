# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest's view of an image of any format, as the writers read it: several at once, holes left out."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Iterator, Sequence

from .._errors import EngineError
from .._transfer.nbd import NbdClient
from .nbd_server import served
from .node import Image

# The range of one question about holes.
_RANGE = 1 << 30


class ExportedContent:
    """What the writers read (GuestContent); each call takes a connection that is free."""

    def __init__(self, connections: Sequence[NbdClient]) -> None:
        self.size = connections[0].size
        self._free: queue.SimpleQueue[NbdClient] = queue.SimpleQueue()
        # One is kept for `extents`, which may be asked while others read.
        self._first = connections[0]
        for connection in connections[1:]:
            self._free.put(connection)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Offset and end of everything that doesn't read as zeros."""
        at = 0
        for end, zeros in stretches(self._first):
            if not zeros and at < end:
                yield at, end
            at = end

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes; zeros behind the end."""
        connection = self._free.get()
        try:
            found = connection.read(offset, min(length, self.size - offset))
        finally:
            self._free.put(connection)
        return bytes(found).ljust(length, b"\0")


@contextlib.contextmanager
def exported(image: Image, *, readers: int, pass_fds: Sequence[int] = ()) -> Iterator[ExportedContent]:
    """The content of `image` for the time of the block, for so many readers at once; raises what `served` raises."""
    with served(image, connections=readers + 1, pass_fds=pass_fds) as connections:
        yield ExportedContent(connections)


def stretches(client: NbdClient) -> Iterator[tuple[int, bool]]:
    """Where each stretch of data or of zeros ends, and whether it is zeros, by the image's tables."""
    told = 0
    while told < client.size:
        found = client.extents(told, min(_RANGE, client.size - told))
        if not any(length for length, _zeros in found):
            raise EngineError("The NBD server tells nothing about where data are.")
        for length, zeros in found:
            told = min(told + length, client.size)
            yield told, zeros
