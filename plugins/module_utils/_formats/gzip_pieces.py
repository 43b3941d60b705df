# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gzip by all cores: pieces are read and compressed side by side, each a member of its own, which readers join (RFC 1952, 2.2)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Callable

from .compress_pool import in_order, workers
from .encoder import Encoder

PIECE = 1 << 20
# No name, no time, written on a system that nobody knows: equal content gives equal bytes.
_HEAD = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
_TAIL = struct.Struct("<II")
# The head of a zlib stream, and its checksum (RFC 1950, 2.2).
_ZLIB_HEAD, _ZLIB_TAIL = 2, 4

Piece = Callable[[], bytes]


def compressed(pieces: Iterable[Piece], encoder: Encoder) -> Iterator[tuple[int, bytes]]:
    """How many bytes each piece had, and its member; `pieces` are called by threads, `encoder` makes zlib streams."""
    return in_order((partial(_packed, piece, encoder) for piece in pieces), threads=workers())


def _packed(piece: Piece, encoder: Encoder) -> tuple[int, bytes]:
    data = piece()
    return len(data), member(data, encoder)


def member(data: bytes, encoder: Encoder) -> bytes:
    """One member with `data`."""
    stream = encoder.compress(data, len(data)) or zlib.compress(data, 0)
    return _HEAD + stream[_ZLIB_HEAD:-_ZLIB_TAIL] + _TAIL.pack(zlib.crc32(data), len(data))
