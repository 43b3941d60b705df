# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISA-L's deflate (libisal2), called as igzip_lib.h documents it.

The public fields of `struct isal_zstream` are the start of the structure and part of the library's interface; the private
state behind them is larger or smaller from version to version, so much more room is given than any version needs.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Callable

_LIBRARY = "libisal.so.2"
_STREAM_ROOM = 256 << 10
_LEVEL_ROOM = 1 << 20
_DONE = 0
RAW, ZLIB = 0, 3


class _Stream(ctypes.Structure):
    """The public part of `struct isal_zstream`."""

    _fields_ = (
        ("next_in", ctypes.c_char_p),
        ("avail_in", ctypes.c_uint32),
        ("total_in", ctypes.c_uint32),
        ("next_out", ctypes.c_void_p),
        ("avail_out", ctypes.c_uint32),
        ("total_out", ctypes.c_uint32),
        ("hufftables", ctypes.c_void_p),
        ("level", ctypes.c_uint32),
        ("level_buf_size", ctypes.c_uint32),
        ("level_buf", ctypes.c_void_p),
        ("end_of_stream", ctypes.c_uint16),
        ("flush", ctypes.c_uint16),
        ("gzip_flag", ctypes.c_uint16),
        ("hist_bits", ctypes.c_uint16),
    )


class _Room(threading.local):
    """What one thread works in."""

    def __init__(self) -> None:
        self.memory = ctypes.create_string_buffer(_STREAM_ROOM)
        self.stream = _Stream.from_buffer(self.memory)
        self.level_buffer = ctypes.create_string_buffer(_LEVEL_ROOM)
        self.output = ctypes.create_string_buffer(0)

    def of_size(self, size: int) -> ctypes.Array[ctypes.c_char]:
        """The output buffer, at least `size` bytes long."""
        if len(self.output) < size:
            self.output = ctypes.create_string_buffer(size)
        return self.output


def isal_compressor(*, level: int, window_bits: int, wrapper: int) -> Callable[[bytes, int], bytes | None] | None:
    """A function (data, most bytes) -> deflated data, None when it takes more; None without the library.

    No match reaches back further than 2 ** window_bits bytes; `wrapper` is RAW or ZLIB.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    room = _Room()

    def compress(data: bytes, most: int) -> bytes | None:
        stream, output = room.stream, room.of_size(most)
        library.isal_deflate_stateless_init(ctypes.byref(stream))
        stream.next_in, stream.avail_in = data, len(data)
        stream.next_out, stream.avail_out = ctypes.addressof(output), most
        stream.level, stream.level_buf = level, ctypes.addressof(room.level_buffer)
        stream.level_buf_size = _LEVEL_ROOM
        stream.end_of_stream, stream.flush = 1, 0
        stream.gzip_flag, stream.hist_bits = wrapper, window_bits
        if library.isal_deflate_stateless(ctypes.byref(stream)) != _DONE:
            return None
        return ctypes.string_at(output, stream.total_out)

    return compress
