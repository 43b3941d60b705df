# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libdeflate (libdeflate0), called as libdeflate.h documents it. Its window is always 32 KiB."""

from __future__ import annotations

import ctypes
import functools
from typing import Callable

from .compressor_room import CompressorRoom

_LIBRARY = "libdeflate.so.0"


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
    room = CompressorRoom(
        functools.partial(library.libdeflate_alloc_compressor, level), library.libdeflate_free_compressor
    )

    def compress(data: bytes, most: int) -> bytes | None:
        output = room.of_size(most)
        length = library.libdeflate_zlib_compress(room.compressor, data, len(data), output, most)
        return ctypes.string_at(output, length) if length else None

    return compress
