# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compressed clusters of qcow2.

A descriptor has the host offset in its low x bits, x = 62 - (cluster bits - 8), and above them the number of further
sectors of 512 bytes. The data need not fill their last sector, so a file may lawfully end inside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection

from .facts import Draft
from .reader import SECTOR, Reader

# A zstd frame has at least its header and one block; deflate shrinks at most 1032 times.
SMALLEST_ZSTD = 10
DEFLATE_RATIO = 1032
RAW_DEFLATE = -15


def smallest(draft: Draft) -> int:
    """The fewest bytes that a compressed cluster can take."""
    return SMALLEST_ZSTD if draft.compression == "zstd" else (draft.cluster_size or 0) // DEFLATE_RATIO


def start_bits(cluster_size: int) -> int:
    """How many low bits of a descriptor are the host offset."""
    return 62 - (cluster_size.bit_length() - 9)


def check_compressed(image: Reader, draft: Draft, descriptors: Collection[int], *, inflate: bool) -> tuple[int, bool]:
    """Where the farthest compressed cluster ends, its last sector only counted as far as it is needed.

    To know that the cluster is inflated, if it may be; also returned is whether it was.
    """
    shift = start_bits(draft.cluster_size or SECTOR)
    mask = (1 << shift) - 1
    if not descriptors:
        return 0, False
    end, start = max(
        (((found & mask) // SECTOR + (found >> shift) + 1) * SECTOR, found & mask) for found in descriptors
    )
    if not (inflate and image.size < end < image.size + SECTOR):
        return end, False
    return (image.size if _whole(image, draft, start) else end), True


def _whole(image: Reader, draft: Draft, start: int) -> bool:
    """Whether the rest of the file from start holds one whole cluster."""
    data, length = image.upto(start, image.size - start), draft.cluster_size or 0
    if draft.compression == "zstd":
        from .zstd_frame import frame_end

        return frame_end(data) is not None
    try:
        return len(zlib.decompressobj(RAW_DEFLATE).decompress(data, length)) == length
    except zlib.error:
        return False
