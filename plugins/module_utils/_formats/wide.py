# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole table of 8-byte numbers as one wide integer: arithmetic on it runs in C, so millions of entries take milliseconds."""

from __future__ import annotations

from functools import lru_cache

ALL_ONES = (1 << 64) - 1


@lru_cache(maxsize=16)
def spread(value: int, count: int) -> int:
    """One wide integer with the same 8 bytes count times: a mask for a whole table at once."""
    return int.from_bytes(value.to_bytes(8, "big") * count, "big")


def reaching(wide: int, count: int, least: int) -> int:
    """How many of the count values in a wide integer, each below 2^62, are least or more: adding carries into bit 63."""
    carried = (wide + spread((1 << 63) - min(least, 1 << 62), count)) & spread(1 << 63, count)
    return carried.to_bytes(count * 8, "big")[0::8].count(0x80)
