# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRC-32C (Castagnoli; RFC 3720, appendix B.4), which zlib does not offer.

The structures of VHDX end in many zeros. What a zero byte does to the remainder is linear, one word for each bit of it, so a row
of zeros costs as many steps as its length has bits.
"""

from __future__ import annotations

from functools import cache

POLYNOMIAL = 0x82F63B78


def _row(value: int) -> int:
    for _turn in range(8):
        value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
    return value


TABLE = [_row(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """The checksum of data."""
    value, table = 0xFFFFFFFF, TABLE
    told = data.rstrip(b"\0")
    for byte in told:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return _past_zeros(value, len(data) - len(told)) ^ 0xFFFFFFFF


def _past_zeros(value: int, count: int) -> int:
    for power in range(count.bit_length()):
        if count >> power & 1:
            value = _applied(_zeros(power), value)
    return value


@cache
def _zeros(power: int) -> tuple[int, ...]:
    """What becomes of each bit of the remainder behind 2^power zero bytes."""
    if not power:
        return tuple(1 << bit >> 8 ^ TABLE[1 << bit & 0xFF] for bit in range(32))
    half = _zeros(power - 1)
    return tuple(_applied(half, word) for word in half)


def _applied(words: tuple[int, ...], value: int) -> int:
    found = 0
    for word in words:
        if value & 1:
            found ^= word
        value >>= 1
    return found
