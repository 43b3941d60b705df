# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libdeflate (libdeflate0), called as libdeflate.h documents it. Its window is always 32 KiB."""

from __future__ import annotations

import ctypes
import threading
from typing import Callable

_LIBRARY = "libdeflate.so.0"


class _Room(threading.local):
    """One thread's compressor and output buffer."""

    def __init__(self, library: ctypes.CDLL, level: int) -> None:
        self._free = library.libdeflate_free_compressor
        self.compressor = library.libdeflate_alloc_compressor(level)
        self.output = ctypes.create_string_buffer(0)

    def of_size(self, size: int) -> ctypes.Array[ctypes.c_char]:
        """The output buffer, at least `size` bytes long."""
        if len(self.output) < size:
            self.output = ctypes.create_string_buffer(size)
        return self.output

    def __del__(self) -> None:
        self._free(self.compressor)


def libdeflate_compressor(*, level: int) -> Callable[[bytes, int], bytes | None] | None:
    """A function (data, most bytes) -> zlib stream, None when it takes more; None without the library."""
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.libdeflate_alloc_compressor.restype = ctypes.c_void_p
    library.libdeflate_free_compressor.argtypes = (ctypes.c_void_p,)
    library.libdeflate_zlib_compress.restype = ctypes.c_size_t
    library.libdeflate_zlib_compress.argtypes = (
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p, ctypes.c_size_t,
    )  # fmt: skip
    room = _Room(library, level)

    def compress(data: bytes, most: int) -> bytes | None:
        output = room.of_size(most)
        length = library.libdeflate_zlib_compress(room.compressor, data, len(data), output, most)
        return ctypes.string_at(output, length) if length else None

    return compress
