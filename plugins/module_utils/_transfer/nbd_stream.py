# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An NBD export as a stream that survives its connections."""

from __future__ import annotations

from .._errors import TransferError
from .http import Broken
from .nbd import MOST_READ, NbdConnection
from .stream import Clock, ContentChanged, Validators
from .url import RemoteUrl

ATTEMPTS = 6
_LONGEST_PAUSE = 30.0


class NbdStream:
    """Reads the export of `url`. Its server says nothing that tells two states apart, so only what is `proven` by a checksum
    in the end is gone on with by a later run."""

    compressible = False

    def __init__(self, url: RemoteUrl, clock: Clock, *, idle_timeout: float, proven: bool = False) -> None:
        self._url = url
        self._clock = clock
        self._seconds = idle_timeout
        self._proven = proven
        self._connection: NbdConnection | None = None
        self._failures = 0
        self.position = 0
        self.validators = Validators()

    def open(self, offset: int = 0, known: Validators | None = None) -> None:
        if offset and not self._proven:
            raise ContentChanged(f"{self._url.shown}: an NBD export does not tell whether it changed.")
        self.position, self.validators = offset, known or Validators()
        self._connected()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def read(self, count: int) -> bytes:
        pieces, wanted = [], min(count, self.validators.size - self.position)
        while wanted > 0:
            try:
                piece = self._connected().read(self.position, min(wanted, MOST_READ))
            except Broken as error:
                self._failed(error)
                continue
            self._failures = 0
            pieces.append(piece)
            wanted -= len(piece)
            self.position += len(piece)
        return b"".join(pieces)

    def _connected(self) -> NbdConnection:
        while self._connection is None:
            try:
                self._connection = NbdConnection(self._url, idle_timeout=self._seconds)
            except Broken as error:
                self._failed(error)
                continue
            if self.validators.size not in (-1, self._connection.size):
                raise ContentChanged(f"{self._url.shown} has another size than before.")
            self.validators = Validators(size=self._connection.size)
        return self._connection

    def _failed(self, error: Broken) -> None:
        self.close()
        self._failures += 1
        if self._failures >= ATTEMPTS:
            raise TransferError(f"{error} It was tried {ATTEMPTS} times; run the task again.") from None
        self._clock.sleep(min(0.5 * 2.0 ** (self._failures - 1), _LONGEST_PAUSE))


def export_size(url: RemoteUrl, *, idle_timeout: float) -> int:
    """Bytes of the export; raises what opening it raises."""
    connection = NbdConnection(url, idle_timeout=idle_timeout)
    connection.close()
    return connection.size
