# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work that a thread of its own does ahead of who needs it: downloads, decompression and writing go on side by side."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator

# Pieces that may lie ready.
_DEPTH = 4


def ahead(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same pieces; what `pieces` raises is raised here."""
    worker = _Worker(pieces)
    worker.start()
    try:
        while isinstance(found := worker.ready.get(), bytes):
            yield found
        if found is not None:
            raise found
    finally:
        worker.let_go()


class _Worker(threading.Thread):
    """Ends by itself; nobody waits for it, since it may wait for a network that is silent."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__(daemon=True)
        self._pieces = pieces
        self._wanted = True
        self.ready: queue.Queue[bytes | BaseException | None] = queue.Queue(_DEPTH)

    def run(self) -> None:
        last: BaseException | None = None
        try:
            for piece in self._pieces:
                self.ready.put(piece)
                if not self._wanted:
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where the pieces are taken
            last = error
        self.ready.put(last)

    def let_go(self) -> None:
        """Nothing more is taken: a worker that waits for room finds it, and sees that it is done."""
        self._wanted = False
        with contextlib.suppress(queue.Empty):
            while True:
                self.ready.get_nowait()
