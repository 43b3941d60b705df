# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CRC-32C (Castagnoli), which zlib does not offer; RFC 3720, appendix B.4."""

from __future__ import annotations

POLYNOMIAL = 0x82F63B78


def _row(value: int) -> int:
    for _turn in range(8):
        value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
    return value


TABLE = [_row(byte) for byte in range(256)]


def crc32c(data: bytes) -> int:
    """The checksum of data."""
    value, table = 0xFFFFFFFF, TABLE
    for byte in data:
        value = value >> 8 ^ table[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF
