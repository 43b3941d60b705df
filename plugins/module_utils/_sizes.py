# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes as people write them, in bytes; K, M, G, T, P are powers of 1024 as in qemu-img(1)."""

from __future__ import annotations

import re

from ._errors import InvalidOption

_FACTORS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
# As many digits as 8 bytes hold: what is longer is no size of anything.
_PATTERN = re.compile(r"^\s*(\d{1,20}(?:\.\d{1,20})?)\s*([kmgtp]?)(?:i?b)?\s*$", re.IGNORECASE | re.ASCII)
_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def parse_size(value: str | int, *, option: str = "size") -> int:
    """Bytes of `10GiB`, `10G`, `1.5 MiB` or `512`.

    Raises InvalidOption when the text isn't a size, or isn't a whole number of bytes.
    """
    match = _PATTERN.match(str(value))
    if not match:
        raise InvalidOption(
            f"{option}: '{value}' is not a size; give bytes, or a number with a unit such as 10GiB or 512M."
        )
    number, unit = match.groups()
    factor = _FACTORS[unit.lower()]
    size = int(number) * factor if number.isdigit() else float(number) * factor
    if size != int(size):
        raise InvalidOption(f"{option}: '{value}' is not a whole number of bytes.")
    return int(size)


def format_size(size: int) -> str:
    """`10 GiB`, `1.5 MiB`, `512 B`: one decimal at most, for people; results carry bytes."""
    if size < 1024:
        return f"{size} B"
    value = float(size)
    for unit in _UNITS:
        value /= 1024
        if value < 1024 or unit == _UNITS[-1]:
            break
    return f"{value:.1f}".rstrip("0").rstrip(".") + f" {unit}"
