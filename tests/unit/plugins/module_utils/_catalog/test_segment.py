# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import (
    BLOCK_SIZE,
    MOST_FRAME,
    MOST_SEGMENT,
    SEGMENT_BLOCKS,
    Block,
    Segment,
    content_digest,
    make_segment,
    read_segment,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError

PACKS = [digest_of(b"one"), digest_of(b"two")]
FIRST = 3 * SEGMENT_BLOCKS


def block(number: int, *, pack: int = 0, offset: int = 0, length: int = 100) -> Block:
    return Block(FIRST + number, bytes([number % 256]) * 32, PACKS[pack], offset, length)


def segment() -> Segment:
    return make_segment(3, [block(0), block(7, pack=1, offset=5), block(SEGMENT_BLOCKS - 1, length=MOST_FRAME)])


def test_what_is_written_is_read() -> None:
    found = read_segment(segment().as_bytes(), number=3, where="x")
    assert list(found) == list(segment())
    assert found.packs == tuple(PACKS)
    assert found.as_bytes() == segment().as_bytes()
    assert len(found) == 3


def test_an_empty_segment() -> None:
    assert list(read_segment(make_segment(0, []).as_bytes(), number=0, where="x")) == []


def test_the_longest_segment() -> None:
    whole = make_segment(0, [Block(n, bytes(32), digest_of(struct.pack("<I", n)), 0, 1) for n in range(SEGMENT_BLOCKS)])
    assert len(whole.as_bytes()) == MOST_SEGMENT
    assert len(read_segment(whole.as_bytes(), number=0, where="x")) == SEGMENT_BLOCKS


@pytest.mark.parametrize("cut", [0, 1, 15, 16, 100, -1])
def test_cut_off(cut: int) -> None:
    with pytest.raises(TransferError, match="x: "):
        read_segment(segment().as_bytes()[:cut], number=3, where="x")


def test_every_byte_turned_is_refused_or_read() -> None:
    data = segment().as_bytes()
    for at in range(len(data)):
        turned = data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]
        try:
            list(read_segment(turned, number=3, where="x"))
        except TransferError:
            continue


def test_numbers_that_lie() -> None:
    good = segment()
    for bad in (
        replace(good, numbers=good.numbers[::-1]),
        replace(good, packs=good.packs[:1]),
        replace(good, lengths=type(good.lengths)("I", [0, 1, 1])),
        replace(good, lengths=type(good.lengths)("I", [1, 1, MOST_FRAME + 1])),
    ):
        with pytest.raises(TransferError):
            read_segment(bad.as_bytes(), number=3, where="x")


def test_content_is_the_same_wherever_it_is_kept() -> None:
    moved = make_segment(3, [replace(one, pack=PACKS[1], offset=one.offset + 9) for one in segment()])
    assert content_digest(BLOCK_SIZE, [moved]) == content_digest(BLOCK_SIZE, [segment()])
    assert content_digest(2 * BLOCK_SIZE, [moved]) != content_digest(BLOCK_SIZE, [moved])
    assert content_digest(BLOCK_SIZE, [replace(moved, number=2)]) != content_digest(BLOCK_SIZE, [moved])
