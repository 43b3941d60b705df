# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Encoders of deflate: the fastest library that the host has for each use, the standard library else.

All of them free Python's lock while they work. The same bytes give the same output with zlib and libdeflate; ISA-L now and
then, about once in ten thousand blocks, chooses another code of almost the same length for the same bytes.
"""

from __future__ import annotations

import zlib
from typing import Callable

from .encoder import Encoder
from .isal import isal_compressor
from .libdeflate import libdeflate_compressor

# QEMU's window for compressed clusters (block/qcow2-threads.c); its decoder promises no more than that.
QCOW2_WINDOW_BITS = 12
_FULL_WINDOW_BITS = 15
# With a window of 4 KiB zlib spends much of its time on moving its hash table; this one is half as large.
_QCOW2_MEMORY_LEVEL = 7
# Of 256 random bytes about 162 are different ones, of compressed files' 150; programs and text have far fewer.
_SAMPLE, _NOISY = 256, 125
_LEAST, _PIECE = 16 << 10, 4 << 10
# What would save less than this share of a block isn't worth the time: such blocks take the longest.
_WORTH = 0.08


def _standard(*, level: int, window_bits: int, memory_level: int) -> Callable[[bytes, int], bytes | None]:
    def compress(data: bytes, most: int) -> bytes | None:
        if not is_noise(data):
            return _packed(data, most, level)
        return _packed(data, most, 0) if most > len(data) else None

    def _packed(data: bytes, most: int, effort: int) -> bytes | None:
        engine = zlib.compressobj(effort, zlib.DEFLATED, window_bits, memory_level)
        found = engine.compress(data) + engine.flush()
        return found if len(found) <= most else None

    return compress


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
    how = _standard(level=1, window_bits=-QCOW2_WINDOW_BITS, memory_level=_QCOW2_MEMORY_LEVEL)
    return Encoder("zlib", how)


def qcow2_encoder() -> Encoder:
    """Raw deflate (RFC 1951) within a window of 4 KiB."""
    isal = isal_compressor(level=3, window_bits=-QCOW2_WINDOW_BITS)
    return Encoder("ISA-L", isal) if isal else standard_qcow2_encoder()


def standard_vmdk_encoder() -> Encoder:
    """The standard library's, for VMDK."""
    return Encoder("zlib", _standard(level=2, window_bits=_FULL_WINDOW_BITS, memory_level=zlib.DEF_MEM_LEVEL))


def vmdk_encoder() -> Encoder:
    """zlib streams (RFC 1950); at like speed libdeflate's are smaller than ISA-L's."""
    libdeflate = libdeflate_compressor(level=1)
    if libdeflate:
        return Encoder("libdeflate", libdeflate)
    isal = isal_compressor(level=3, window_bits=_FULL_WINDOW_BITS)
    return Encoder("ISA-L", isal) if isal else standard_vmdk_encoder()
