# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.packs import (
    PACK_SIZE,
    KnownBlocks,
    Place,
    pack_size,
    packs_to_repack,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import Block, make_segment


def test_a_pack_that_is_used_by_less_than_half_is_written_anew() -> None:
    sizes = {"full": 100, "half": 100, "little": 100}
    assert packs_to_repack({"full": 100, "half": 50, "little": 49}, sizes, written=1) == {"little"}


def test_the_smallest_packs_go_when_there_are_too_many() -> None:
    sizes = {str(number): 1000 + number for number in range(10)}
    chosen = packs_to_repack(sizes, sizes, written=1, most=8)
    # One pack takes what was in four.
    assert chosen == {"0", "1", "2", "3"}


def test_of_a_large_image_only_the_smallest_packs_are_written_anew() -> None:
    sizes = {str(number): (100 << 20) + number for number in range(84)}
    assert packs_to_repack(sizes, sizes, written=13) == {"0", "1"}


def test_packs_that_are_as_large_as_can_be_are_left_alone() -> None:
    sizes = {str(number): (4 << 30) - (1 << 20) for number in range(124)}
    assert packs_to_repack(sizes, sizes, written=1) == set()


def test_packs_stay_few_however_large_an_image_is() -> None:
    left, packs = 250 << 30, 0
    while left > 0:
        left -= pack_size(packs, left=left)
        packs += 1
    assert packs <= 96
    assert pack_size(0, left=500 << 30) == pack_size(90, left=0) == PACK_SIZE


def test_the_first_place_of_a_block_counts() -> None:
    known = KnownBlocks()
    for pack in ("new", "old"):
        known.add_segments([make_segment(0, [Block(3, b"x" * 32, f"sha256:{pack}", 7, 5)])], {f"sha256:{pack}": 12})
    assert known.get(b"x" * 32) == Place("sha256:new", 7, 5)
    assert b"x" * 32 in known and b"y" * 32 not in known and len(known) == 1
    assert known.sizes == {"sha256:new": 12, "sha256:old": 12}
