# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The NBD export that a URL names, as a stream that survives its connections."""

from __future__ import annotations

import tempfile
from collections import deque
from typing import Any

from .._errors import TransferError
from .http import Access
from .nbd import NbdClient
from .nbd_tls import require_tls
from .stream import BLOCK, Broken, Clock, ContentChanged, Validators
from .url import RemoteUrl

ATTEMPTS = 6
_LONGEST_PAUSE = 30.0
# Reads that are on their way together.
_AHEAD = 4
# The range of one question about holes.
_RANGE = 1 << 30


class NbdStream:
    """Reads the export of `url`. Its server says nothing that tells two states apart, so only what is `proven` by a checksum
    in the end is gone on with by a later run."""

    compressible = False

    def __init__(self, url: RemoteUrl, clock: Clock, access: Access, *, proven: bool = False) -> None:
        self._url = url
        self._clock = clock
        self._access = access
        self._proven = proven
        self._client: NbdClient | None = None
        self._failures = 0
        self._left = b""
        # A read's number, 0 for zeros that aren't transferred, and its end.
        self._pending: deque[tuple[int, int]] = deque()
        self._stretches: deque[tuple[int, bool]] = deque()
        self.position = 0
        self.validators = Validators()

    def open(self, offset: int = 0, known: Validators | None = None) -> None:
        if offset and not self._proven:
            raise ContentChanged(f"{self._url.shown}: an NBD export does not tell whether it changed.")
        self._left = b""
        self.position, self.validators = offset, known or Validators()
        self._connected()

    def close(self) -> None:
        self._pending.clear()
        self._stretches.clear()
        if self._client is not None:
            self._client.close()
            self._client = None

    def read(self, count: int) -> bytes:
        pieces, wanted = [], min(count, self.validators.size - self.position)
        while wanted > 0:
            self._left = self._left or self._next()
            pieces.append(self._left[:wanted])
            self._left = self._left[wanted:]
            wanted -= len(pieces[-1])
            self.position += len(pieces[-1])
        return b"".join(pieces)

    def _next(self) -> bytes:
        """The piece that begins at `position`."""
        while True:
            try:
                client = self._connected()
                self._ask(client)
                piece = self._take(client)
            except Broken as error:
                self._failed(error)
                continue
            self._failures = 0
            return piece

    def _take(self, client: NbdClient) -> bytes:
        cookie, end = self._pending.popleft()
        return bytes(client.take(cookie)) if cookie else bytes(end - self.position)

    def _ask(self, client: NbdClient) -> None:
        """Send reads ahead of what is taken, so that the line is never idle."""
        at = self._pending[-1][1] if self._pending else self.position
        while at < client.size and len(self._pending) < _AHEAD:
            end = min(at + BLOCK, client.size)
            self._pending.append((0 if self._is_hole(client, at, end) else client.ask(at, end - at), end))
            at = end

    def _is_hole(self, client: NbdClient, at: int, end: int) -> bool:
        """Whether all of a piece reads as zeros, as the server tells without reading it."""
        while self._stretches and self._stretches[0][0] <= at:
            self._stretches.popleft()
        if not self._stretches:
            until = at
            for length, zeros in client.extents(at, min(_RANGE, client.size - at)) or [(end - at, False)]:
                until += length
                self._stretches.append((until, zeros))
        until, zeros = self._stretches[0]
        return zeros and end <= until

    def _connected(self) -> NbdClient:
        while self._client is None:
            try:
                self._client = connect(self._url, self._access)
            except Broken as error:
                self._failed(error)
                continue
            if self.validators.size not in (-1, self._client.size):
                raise ContentChanged(f"{self._url.shown} has another size than before.")
            self.validators = Validators(size=self._client.size)
        return self._client

    def _failed(self, error: Broken) -> None:
        self.close()
        self._failures += 1
        if self._failures >= ATTEMPTS:
            raise TransferError(f"{error} It was tried {ATTEMPTS} times; run the task again.") from None
        self._clock.sleep(min(0.5 * 2.0 ** (self._failures - 1), _LONGEST_PAUSE))


def connect(url: RemoteUrl, access: Access) -> NbdClient:
    """A connection to the export that `url` names; with nbds its server must have a certificate that is trusted."""
    with tempfile.TemporaryDirectory(prefix="imageops-nbd-") as folder:

        def begin(handle: Any) -> None:
            handle.set_export_name(url.export)
            if url.scheme == "nbds":
                require_tls(handle, access, folder)
            if url.scheme == "nbd+unix":
                handle.aio_connect_unix(url.socket)
            else:
                handle.aio_connect_tcp(url.host, str(url.port))

        return NbdClient(begin, where=url.shown, idle_timeout=access.idle_timeout)


def export_size(url: RemoteUrl, access: Access) -> int:
    """Bytes of the export; raises what opening it raises."""
    client = connect(url, access)
    client.close()
    return client.size
