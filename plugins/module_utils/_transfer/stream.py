# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a download reads from, whatever is behind it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from .._errors import TransferError

BLOCK = 1 << 20


class ContentChanged(TransferError):
    """What was received so far can't be gone on with: the server has other content now, or can't tell that it hasn't."""


class Broken(TransferError):
    """The connection failed in a way that another attempt may not."""


@dataclass(frozen=True)
class Validators:
    """What a server says to tell two states of a file apart (RFC 9110, 8.8); sizes are bytes, -1 is unknown."""

    etag: str = ""
    last_modified: str = ""
    size: int = -1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def telling(self) -> bool:
        """Whether equal validators mean equal content."""
        return bool(self.etag or self.last_modified)

    @property
    def strong(self) -> str:
        """What a range may be asked for with (RFC 9110, 13.1.5): never a weak ETag."""
        if self.etag:
            return "" if self.etag.startswith("W/") else self.etag
        return self.last_modified


class Source(Protocol):
    """A stream of published bytes. After a broken connection it goes on by itself, or raises."""

    @property
    def compressible(self) -> bool:
        """Whether what arrives may be a compressed file."""

    @property
    def validators(self) -> Validators:
        """What the server said, once the stream is open."""

    @property
    def position(self) -> int:
        """The next byte's number."""

    def open(self, offset: int = 0, known: Validators | None = None) -> None:
        """Begin at `offset`; raises ContentChanged unless that is of the same content as `known`."""

    def read(self, count: int) -> bytes:
        """Just `count` bytes, or fewer where the content ends."""

    def close(self) -> None:
        """End the connection."""


class Clock(Protocol):
    """Time, as the caller has it."""

    def now(self) -> float:
        """Seconds since some start."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class RateLimit:
    """Keeps a transfer below some bytes a second."""

    def __init__(self, clock: Clock, limit: int | None) -> None:
        self._clock = clock
        self._limit = limit
        self._began = clock.now()
        self._bytes = 0

    def passed(self, count: int) -> None:
        """`count` more bytes came: wait until they may have."""
        if self._limit:
            self._bytes += count
            early = self._bytes / self._limit - (self._clock.now() - self._began)
            if early > 0:
                self._clock.sleep(early)
