# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from array import array

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.blocks import DiskBlocks
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.ranges import GAP, Part, make_parts


def blocks(*frames: tuple[int, int, int]) -> DiskBlocks:
    """Blocks whose frames are so: pack, offset, length."""
    packs, offsets, lengths = zip(*frames)
    return DiskBlocks(
        1 << 30,
        [f"pack{number}" for number in range(max(packs) + 1)],
        array("I", range(len(frames))),
        array("I", packs),
        array("I", offsets),
        array("I", lengths),
    )


def told(parts: list[Part]) -> list[tuple[int, int, int, list[int]]]:
    return [(part.pack, part.start, part.end, list(part.blocks)) for part in parts]


def test_neighbours_are_joined() -> None:
    found = blocks((0, 0, 100), (0, 100, 50), (0, 150, 10))
    assert told(make_parts(found, range(3))) == [(0, 0, 160, [0, 1, 2])]


def test_a_small_gap_is_read_and_a_large_one_is_not() -> None:
    found = blocks((0, 0, 100), (0, 100 + GAP, 50), (0, 1000 + 2 * GAP, 10))
    assert told(make_parts(found, range(3))) == [
        (0, 0, 150 + GAP, [0, 1]),
        (0, 1000 + 2 * GAP, 1010 + 2 * GAP, [2]),
    ]


def test_packs_are_apart_and_in_the_order_of_their_first_blocks() -> None:
    found = blocks((1, 10, 5), (0, 0, 5), (1, 0, 10))
    assert told(make_parts(found, range(3))) == [(0, 0, 5, [1]), (1, 0, 15, [2, 0])]


def test_a_part_has_a_limit() -> None:
    found = blocks(*((0, 100 * number, 100) for number in range(10)))
    parts = make_parts(found, range(10), most=300)
    assert [part.size for part in parts] == [300, 300, 300, 100]


def test_blocks_may_share_a_frame() -> None:
    found = blocks((0, 0, 100), (0, 0, 100), (0, 100, 100))
    assert told(make_parts(found, [0, 1, 2])) == [(0, 0, 200, [0, 1, 2])]
    assert make_parts(found, []) == []
