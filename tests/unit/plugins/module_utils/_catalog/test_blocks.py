# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.blocks import checked_blocks, join_segments
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import DiskEntry
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import (
    SEGMENT_BLOCKS,
    Block,
    content_digest,
    make_segment,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError

SIZE = 3 << 30
DIGESTS = [hashlib.sha256(bytes([number])).digest() for number in range(4)]
PACKS = [f"sha256:{letter * 64}" for letter in "ab"]
SEGMENTS = [
    make_segment(0, [Block(1, DIGESTS[0], PACKS[0], 0, 10), Block(5, DIGESTS[1], PACKS[1], 7, 20)]),
    make_segment(
        2,
        [
            Block(2 * SEGMENT_BLOCKS, DIGESTS[2], PACKS[1], 27, 30),
            Block(2 * SEGMENT_BLOCKS + 9, DIGESTS[3], PACKS[0], 10, 40),
        ],
    ),
]


def test_columns_of_all_segments() -> None:
    found = join_segments(SIZE, SEGMENTS)
    assert list(found.numbers) == [1, 5, 2 * SEGMENT_BLOCKS, 2 * SEGMENT_BLOCKS + 9]
    assert [found.packs[pack] for pack in found.pack_of] == [PACKS[0], PACKS[1], PACKS[1], PACKS[0]]
    assert list(found.offsets) == [0, 7, 27, 10]
    assert list(found.lengths) == [10, 20, 30, 40]
    assert [found.digest(index) for index in range(4)] == DIGESTS


def test_segments_must_be_the_content() -> None:
    disk = DiskEntry("vda", SIZE, content_digest(SIZE, SEGMENTS))
    assert len(checked_blocks(disk, SEGMENTS, where="here")) == 4
    with pytest.raises(TransferError, match="here: the block index of the disk vda"):
        checked_blocks(disk, SEGMENTS[:1], where="here")
