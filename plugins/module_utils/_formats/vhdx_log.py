# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of VHDX ([MS-VHDX] 2.3): does it hold entries that a reader has to replay?

An entry starts at a multiple of 4 KiB: "loge", checksum, length, tail, sequence number (8 bytes), number of descriptors,
reserved, and the log's id (16 bytes). Entries of another id are of an earlier session and mean nothing.
"""

from __future__ import annotations

import struct

from .reader import CHUNK, Reader

PLACE = 4096
HEADER = "<4sIIIQII16s"
SIGNATURE = b"loge"


def waiting_entries(image: Reader, offset: int, length: int, log_id: bytes) -> int:
    """How many entries of this session look whole by their headers; their checksums aren't computed, to be cautious."""
    found = 0
    for start in range(0, length, CHUNK):
        piece = image.exact(offset + start, min(CHUNK, length - start), what="VHDX log")
        if SIGNATURE in piece:
            found += sum(_waits(piece, at, length, log_id) for at in range(0, len(piece), PLACE))
    return found


def _waits(piece: bytes, at: int, most: int, log_id: bytes) -> bool:
    signature, _sum, length, _tail, sequence, _count, _zero, named = struct.unpack_from(HEADER, piece, at)
    return signature == SIGNATURE and named == log_id and sequence > 0 and 0 < length <= most and not length % PLACE
