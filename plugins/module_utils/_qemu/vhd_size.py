# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The size of a VHD disk whose geometry decides (Virtual Hard Disk Image Format Specification 1.0, appendix)."""

from __future__ import annotations

_SECTOR = 512
# 2040 GiB, the largest that the format's block table is allowed to describe (block/vpc.c, VHD_MAX_SECTORS).
MAX_VHD_SIZE = 0xFF000000 * _SECTOR
_MOST_CHS = 65535 * 16 * 255


def geometry(sectors: int) -> tuple[int, int, int]:
    """Cylinders, heads and sectors per track for a disk of `sectors` sectors."""
    total = min(sectors, _MOST_CHS)
    if total >= 65535 * 16 * 63:
        return total // 255 // 16, 16, 255
    heads = max(4, -(-(total // 17) // 1024))
    if total // 17 < heads * 1024 and heads <= 16:
        return total // 17 // heads, heads, 17
    tracks = 31
    if total // tracks >= 16 * 1024:
        tracks = 63
    return total // tracks // 16, 16, tracks


def chs_size(size: int) -> int:
    """The size that a disk gets so that its geometry holds at least `size` bytes, as qemu-img without force_size makes it."""
    wanted = size // _SECTOR
    if wanted >= _MOST_CHS:
        return size
    trial = wanted
    while True:
        cylinders, heads, tracks = geometry(trial)
        if cylinders * heads * tracks >= wanted:
            return cylinders * heads * tracks * _SECTOR
        trial += 1
