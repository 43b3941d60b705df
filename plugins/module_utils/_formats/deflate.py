# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoders of deflate: the fastest library that the host has for each use, the standard library else.

All of them free Python's lock while they work. The same bytes give the same output with zlib and libdeflate; ISA-L now and
then, about once in ten thousand blocks, chooses another code of almost the same length for the same bytes.
"""

from __future__ import annotations

import threading
import zlib
from typing import Callable

from .encoder import Encoder
from .isal import isal_compressor
from .libdeflate import libdeflate_compressor

# QEMU's window for compressed clusters (block/qcow2-threads.c); all that ISA-L writes stays within it.
QCOW2_WINDOW_BITS = 12
_FULL_WINDOW_BITS = 15
# As much as Python inflates at once since 3.10. zlib makes Huffman codes for each piece: with 16 KiB it takes an eighth longer, and
# with 64 KiB the matches that it finds besides take what is saved.
_FENCED = 32 << 10
# A last block of deflate without content (RFC 1951, 3.2.6).
_END = b"\3\0"
# Of 256 random bytes about 162 are different ones, of compressed files' 150; programs and text have far fewer.
_SAMPLE, _NOISY = 256, 125
_LEAST, _PIECE = 16 << 10, 4 << 10
# What would save less than this share of a block isn't worth the time: such blocks take the longest.
_WORTH = 0.08


class _Fenced(threading.local):
    """Raw deflate in which no match crosses a multiple of 32 KiB; each thread has an engine, used again and again.

    QEMU inflates a cluster at once and others with a window of 32 KiB: neither needs matches to be near. Readers in Python
    that took over QEMU's window of 4 KiB look back no further than to where they began to inflate at once, and they stop
    at multiples of 32 KiB only.
    """

    def __init__(self) -> None:
        self._engine = zlib.compressobj(1, zlib.DEFLATED, -_FULL_WINDOW_BITS, zlib.DEF_MEM_LEVEL)

    def pack(self, data: bytes) -> bytes:
        """Compress; the engine has forgotten `data` afterwards."""
        engine, rest = self._engine, memoryview(data)
        found = []
        for at in range(0, len(data), _FENCED):
            found += [engine.compress(rest[at : at + _FENCED]), engine.flush(zlib.Z_FULL_FLUSH)]
        return b"".join([*found, _END])


def _unless_noise(
    pack: Callable[[bytes], bytes], store: Callable[[bytes], bytes]
) -> Callable[[bytes, int], bytes | None]:
    def compress(data: bytes, most: int) -> bytes | None:
        noise = is_noise(data)
        if noise and most <= len(data):
            return None
        found = store(data) if noise else pack(data)
        return found if len(found) <= most else None

    return compress


def _whole(level: int, window_bits: int) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        engine = zlib.compressobj(level, zlib.DEFLATED, window_bits)
        return engine.compress(data) + engine.flush()

    return pack


def is_noise(data: bytes) -> bool:
    """Whether trying to compress a block is lost time: zlib is slowest where it gains nothing.

    A few bytes from all over the block have many values, and a piece of it hardly shrinks.
    """
    if len(data) < _LEAST or len(set(data[:: len(data) // _SAMPLE])) < _NOISY:
        return False
    middle = data[len(data) // 2 :][:_PIECE]
    return len(zlib.compress(middle, 1)) > len(middle) * (1 - _WORTH)


def standard_qcow2_encoder() -> Encoder:
    """The standard library's, for qcow2."""
    return Encoder("zlib", _unless_noise(_Fenced().pack, _whole(0, -_FULL_WINDOW_BITS)))


def qcow2_encoder() -> Encoder:
    """Raw deflate (RFC 1951), ISA-L's within a window of 4 KiB."""
    isal = isal_compressor(level=3, window_bits=-QCOW2_WINDOW_BITS)
    return Encoder("ISA-L", isal) if isal else standard_qcow2_encoder()


def standard_vmdk_encoder() -> Encoder:
    """The standard library's, for VMDK."""
    return Encoder("zlib", _unless_noise(_whole(2, _FULL_WINDOW_BITS), _whole(0, _FULL_WINDOW_BITS)))


def vmdk_encoder() -> Encoder:
    """zlib streams (RFC 1950); at like speed libdeflate's are smaller than ISA-L's."""
    libdeflate = libdeflate_compressor(level=1)
    if libdeflate:
        return Encoder("libdeflate", libdeflate)
    isal = isal_compressor(level=3, window_bits=_FULL_WINDOW_BITS)
    return Encoder("ISA-L", isal) if isal else standard_vmdk_encoder()
