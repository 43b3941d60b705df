# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libzstd (libzstd1), called as zstd.h documents it, with what is stable since its version 1.0.

A frame tells its content's size and has no checksum. QEMU decompresses a frame until the cluster is full, and what follows it
in the last sector is never looked at.
"""

from __future__ import annotations

import ctypes
import functools

from .compressor_room import CompressorRoom
from .encoder import ZSTD, Encoder

_LIBRARY = "libzstd.so.1"
# QEMU's is 3. This one is half as fast again, and smaller than zlib's default still.
_LEVEL = 1


@functools.cache
def _library() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.ZSTD_createCCtx.restype = ctypes.c_void_p
    library.ZSTD_freeCCtx.argtypes = (ctypes.c_void_p,)
    library.ZSTD_isError.argtypes = (ctypes.c_size_t,)
    library.ZSTD_compressCCtx.restype = ctypes.c_size_t
    library.ZSTD_compressCCtx.argtypes = (
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int,
    )  # fmt: skip
    return library


def zstd_encoder() -> Encoder | None:
    """Zstd frames (RFC 8878); None without the library."""
    library = _library()
    if library is None:
        return None
    room = CompressorRoom(library.ZSTD_createCCtx, library.ZSTD_freeCCtx)

    def compress(data: bytes, most: int) -> bytes | None:
        output = room.of_size(most)
        length = library.ZSTD_compressCCtx(room.compressor, output, most, data, len(data), _LEVEL)
        return None if library.ZSTD_isError(length) else ctypes.string_at(output, length)

    return Encoder("libzstd", compress, ZSTD)
