# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The refcounts of qcow2 say in a few reads what the L2 tables of a large image say in gigabytes.

A cluster past the end of the file that has a reference was lost, or leaked before it was ever written. Where there is none,
no table of an image that its writer kept consistent points past the end.
"""

from __future__ import annotations

from .qcow2_region import Pointers
from .reader import Reader, not_empty

MAX_BYTES = 8 << 20


def clean_past_end(image: Reader, blocks: Pointers, cluster_size: int, refcount_bits: int) -> bool:
    """Whether no cluster past the end of the file has a reference, as far as is known within a limit."""
    per_block = cluster_size * 8 // refcount_bits
    first = -(-image.size // cluster_size)
    left = MAX_BYTES
    if blocks.total > len(blocks.offsets):
        return False
    for index, offset in zip(blocks.indexes, blocks.offsets):
        if (index + 1) * per_block <= first:
            continue
        left -= cluster_size
        if left < 0 or _counts(image, offset, cluster_size, max(first - index * per_block, 0) * refcount_bits):
            return False
    return True


def _counts(image: Reader, offset: int, cluster_size: int, bits: int) -> bool:
    """Whether a block holds anything from that bit on; counts narrower than a byte start at its low bits."""
    start = bits // 8
    data = image.upto(offset + start, cluster_size - start)
    return bool(data) and (bool(data[0] >> bits % 8) or not_empty(data[1:]))
