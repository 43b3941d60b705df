# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a running domain's screen shows."""

from __future__ import annotations

from typing import Any

from .._errors import UnsafeImage
from .connection import Connection
from .domain import Domain
from .library import calling

_PIECE = 256 << 10


def screenshot(connection: Connection, domain: Domain, *, screen: int, most: int) -> bytes:
    """The picture of the display number `screen`, as the engine gives it (PNG or PPM), at most `most` bytes.

    Raises EngineError, and UnsafeImage for a picture that doesn't end.
    """
    with calling(f"taking a picture of the screen of {domain.name}"):
        stream = connection.raw.newStream(0)
        domain.raw.screenshot(stream, screen, 0)
        try:
            return _read(stream, most)
        except BaseException:
            stream.abort()
            raise


def _read(stream: Any, most: int) -> bytes:
    pieces: list[bytes] = []
    left = most
    while True:
        piece = stream.recv(_PIECE)
        if not piece:
            stream.finish()
            return b"".join(pieces)
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            raise UnsafeImage(f"The engine's picture of the screen has more than {most} bytes; nothing was written.")
