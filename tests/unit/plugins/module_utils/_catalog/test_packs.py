# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import (
    MOST_LAYERS,
    MOST_PACKS,
    ImageManifest,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    BLOCK_INDEX,
    CONFIG,
    PACK,
    VARIABLES,
)
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


def packs_of(left: int) -> int:
    packs = 0
    while left > 0:
        left -= pack_size(packs, left=left)
        packs += 1
    return packs


def test_packs_stay_few_however_large_an_image_is() -> None:
    assert packs_of(7 << 30) <= MOST_PACKS
    # What docs/catalog.md says: beyond that there is one more for each 4 GiB.
    assert [packs_of(gib << 30) for gib in (288, 292, 296)] == [MOST_PACKS, MOST_PACKS + 1, MOST_PACKS + 2]
    assert pack_size(0, left=500 << 30) == pack_size(90, left=0) == PACK_SIZE


def test_an_image_has_as_many_layers_as_is_said() -> None:
    packs = tuple(Descriptor(PACK, digest_of(bytes([number])), 1) for number in range(MOST_PACKS))
    config, index, variables = (Descriptor(kind, digest_of(b""), 1) for kind in (CONFIG, BLOCK_INDEX, VARIABLES))
    assert len(ImageManifest(config, index, packs, variables=variables).layers) == MOST_LAYERS
    guide = (Path(__file__).resolve().parents[5] / "docs/catalog.md").read_text(encoding="utf-8")
    assert f"at most {MOST_LAYERS} ({MOST_PACKS} packs, the block index, and the UEFI variables of a VM)" in guide
    assert f"never reached: {MOST_PACKS} packs" in guide and f"in at most {MOST_PACKS} packs" in guide


def test_the_first_place_of_a_block_counts() -> None:
    known = KnownBlocks()
    for pack in ("new", "old"):
        known.add_segments([make_segment(0, [Block(3, b"x" * 32, f"sha256:{pack}", 7, 5)])], {f"sha256:{pack}": 12})
    assert known.get(b"x" * 32) == Place("sha256:new", 7, 5)
    assert b"x" * 32 in known and b"y" * 32 not in known and len(known) == 1
    assert known.sizes == {"sha256:new": 12, "sha256:old": 12}
