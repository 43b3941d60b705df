# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether an image that a repository holds is what would be published: what it tells of itself first, then its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._catalog.blocks import DiskBlocks, checked_blocks
from .._catalog.image import DiskEntry, ImageConfig
from .._catalog.index_blob import Content
from .._catalog.segment import BLOCK_SIZE
from .._formats.compress_pool import Block, packed
from .._registry.images import LoadedImage, load_segments
from .._registry.interface import Store
from .image_publish_work import DiskSource, Report
from .segment_cache import SegmentCache


def same_description(one: ImageConfig, other: ImageConfig) -> bool:
    """Whether two images say the same, wherever their blocks are and whenever and by whom they were made."""
    return bool(_told(one) == _told(other))


def _told(config: ImageConfig) -> Any:
    plain = replace(
        config, disks=tuple(replace(disk, segments=()) for disk in config.disks), created="", tool="", provenance={}
    )
    return json.loads(plain.as_bytes())


def differing_disk(
    store: Store, image: LoadedImage, disks: Sequence[DiskSource], *, whole: bool, report: Report
) -> DiskSource | None:
    """The first disk with another content than the image has under its name; nothing is compressed or sent.

    Of an image that isn't `whole` no block index is asked for, which may be what was lost.
    """
    for disk in disks:
        entry = image.config.disk(disk.name)
        if entry is None or entry.size != disk.content.size:
            return disk
        if whole:
            segments = load_segments(store, image, entry, SegmentCache())
            same = _is_same(checked_blocks(entry, segments, where=store.where), disk, report)
        else:
            same = _is_content(entry, disk, report)
        if not same:
            return disk
    return None


def _is_same(blocks: DiskBlocks, disk: DiskSource, report: Report) -> bool:
    at = 0
    for batch in packed(disk.content, block_size=BLOCK_SIZE, pack=_digested):
        for block in batch.blocks:
            if not _is_at(blocks, at, block):
                return False
            at += 1
        report(batch.end)
    return at == len(blocks)


def _is_content(entry: DiskEntry, disk: DiskSource, report: Report) -> bool:
    found = Content(disk.content.size)
    for batch in packed(disk.content, block_size=BLOCK_SIZE, pack=_digested):
        for block in batch.blocks:
            found.add(block.number, block.data)
        report(batch.end)
    return found.digest() == entry.content


def _digested(number: int, piece: bytes) -> Block:
    return Block(number, hashlib.sha256(piece).digest(), False)


def _is_at(blocks: DiskBlocks, index: int, block: Block) -> bool:
    return index < len(blocks) and (blocks.numbers[index], blocks.digest(index)) == (block.number, block.data)
