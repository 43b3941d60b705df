# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A layer of a container's image as a stream: never unpacked, and compared with its digest when all of it came."""

from __future__ import annotations

import hashlib
import threading
from typing import Callable

from .._catalog.digest import Descriptor, digest_text
from .._errors import TransferError
from .._registry.interface import Store
from .._transfer.decompress import compression_of, decompressed, joined
from .bandwidth_limit import BandwidthLimit

_PIECE = 1 << 20
_REQUEST = 4 << 20
# Told how many bytes of layers came since the last call.
Report = Callable[[int], None]


class LayerStream:
    """The tar in a layer of `store`, which comes no faster than `limit` lets it."""

    def __init__(self, store: Store, layer: Descriptor, report: Report, limit: BandwidthLimit) -> None:
        self._store = store
        self._layer = layer
        self._report = report
        self._limit = limit
        self._state = hashlib.sha256()
        self._position = 0
        # Another thread reads ahead.
        self._lock = threading.Lock()
        self._given_up = False
        self._left = memoryview(b"")
        start = self._fetch(_REQUEST)
        kind = compression_of(start)
        source = joined(start, self._fetch)
        shown = f"{store.where}: the layer {layer.digest}"
        self._pieces = decompressed(kind, source, where=shown) if kind else iter(lambda: source(_PIECE), b"")

    def _fetch(self, count: int) -> bytes:
        with self._lock:
            return b"" if self._given_up else self._next(count)

    def _next(self, count: int) -> bytes:
        length = min(max(count, _REQUEST), self._layer.size - self._position)
        self._limit.wait(max(length, 0))
        data = self._store.read_blob(self._layer.digest, self._position, length) if length > 0 else b""
        self._position += len(data)
        self._state.update(data)
        self._report(len(data))
        return data

    def read(self, count: int) -> bytes:
        """Up to `count` bytes of the tar."""
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        data, self._left = self._left[:count], self._left[count:]
        return bytes(data)

    def require_whole(self) -> None:
        """Read the rest; raises TransferError when what came has another digest."""
        while self.read(_PIECE):
            pass
        if self.is_damaged():
            raise TransferError(
                f"{self._store.where}: the layer {self._layer.digest} is damaged: what came has another digest."
            )

    def is_damaged(self) -> bool:
        """Whether what came has another digest; the rest comes for that, and nothing of the tar is read after it."""
        with self._lock:
            self._given_up = True
            while self._next(_REQUEST):
                pass
        return digest_text(self._state.digest()) != self._layer.digest
