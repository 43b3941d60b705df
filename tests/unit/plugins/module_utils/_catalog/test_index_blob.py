# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.index_blob import Content, IndexBlob
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.packs import Place
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import (
    BLOCK_SIZE,
    SEGMENT_BLOCKS,
    content_digest,
    read_segment,
)

PACK = f"sha256:{'0' * 64}"


def content(*numbers: int) -> Content:
    found = Content(3 * SEGMENT_BLOCKS * BLOCK_SIZE)
    for number in numbers:
        found.add(number, hashlib.sha256(b"%d" % (number % SEGMENT_BLOCKS)).digest())
    return found


def place_of(digest: bytes) -> Place:
    return Place(PACK, 5, 7)


def test_a_disk_has_a_segment_for_each_gib_with_data() -> None:
    found = content(1, 2, 2 * SEGMENT_BLOCKS)
    segments = list(found.segments(place_of))
    assert [(segment.number, len(segment)) for segment in segments] == [(0, 2), (2, 1)]
    assert [block.number for segment in segments for block in segment] == [1, 2, 2 * SEGMENT_BLOCKS]
    assert found.digest() == content_digest(found.size, segments)


def test_an_empty_disk_has_none() -> None:
    assert list(content().segments(place_of)) == []
    assert content().digest() == content_digest(content().size, [])


def test_equal_segments_are_there_once() -> None:
    index = IndexBlob()
    entries = [
        index.add(segment)
        for segment in content(1, 5, SEGMENT_BLOCKS, SEGMENT_BLOCKS * 2 + 1, SEGMENT_BLOCKS * 2 + 5).segments(place_of)
    ]
    blob = index.as_bytes()
    assert [(entry.number, entry.blocks) for entry in entries] == [(0, 2), (1, 1), (2, 2)]
    assert entries[0].digest == entries[2].digest and entries[0].offset == entries[2].offset
    assert len(blob) == entries[0].length + entries[1].length
    last = blob[entries[1].offset : entries[1].offset + entries[1].length]
    assert len(read_segment(last, number=1, where="test")) == 1
