# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a zstd frame ends (RFC 8878, section 3.1.1), without decompressing it: its blocks say their own lengths.

Frame: magic (4), descriptor (1), window (0 or 1), dictionary id (0 to 4), content size (0 to 8), blocks, checksum (0 or 4).
Block: 3 bytes (little endian): last (1 bit), type (2 bits: raw, run, compressed, reserved), size (21 bits), then the block.
"""

from __future__ import annotations

MAGIC = b"\x28\xb5\x2f\xfd"
SINGLE_SEGMENT, CHECKSUM, RESERVED = 1 << 5, 1 << 2, 1 << 3
DICTIONARY_ID = (0, 1, 2, 4)
CONTENT_SIZE = (0, 2, 4, 8)
RUN, UNKNOWN = 1, 3


def frame_end(data: bytes) -> int | None:
    """How many bytes the frame at the start of data has; None when data ends before it, or holds none."""
    if len(data) < len(MAGIC) + 2 or not data.startswith(MAGIC) or data[4] & RESERVED:
        return None
    descriptor = data[4]
    single = bool(descriptor & SINGLE_SEGMENT)
    content = CONTENT_SIZE[descriptor >> 6] or int(single)
    at = len(MAGIC) + 1 + (not single) + DICTIONARY_ID[descriptor & 3] + content
    last = False
    while not last:
        if at + 3 > len(data):
            return None
        block = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = bool(block & 1), block >> 1 & 3, block >> 3
        if kind == UNKNOWN:
            return None
        at += 3 + (1 if kind == RUN else size)
    at += 4 if descriptor & CHECKSUM else 0
    return at if at <= len(data) else None
