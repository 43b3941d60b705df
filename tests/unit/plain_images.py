# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in a catalog, put together by hand: their blocks are named truly, but stored as they are, so nothing can be pulled."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import (
    DiskEntry,
    ImageConfig,
    ImageManifest,
    SegmentEntry,
    config_descriptor,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import BLOCK_INDEX, MANIFEST, PACK
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import Block, content_digest, make_segment
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import Store

# Blocks by their numbers; each such mapping becomes a pack.
Blocks = Mapping[int, bytes]
SIZE = 1 << 30


def publish(store: Store, tag: str, *packs: Blocks, created: str = "2026-11-28T16:00:00Z", **config: Any) -> str:
    """The digest of an image with one disk of 1 GiB, whose blocks are in these packs."""
    with store.publishing():
        stored = [_store_pack(store, blocks) for blocks in packs]
        blocks = sorted((block for _pack, found in stored for block in found), key=lambda block: block.number)
        segment = make_segment(0, blocks)
        index = segment.as_bytes()
        entry = SegmentEntry(0, digest_of(index), 0, len(index), len(blocks))
        disk = DiskEntry("vda", SIZE, content_digest(SIZE, [segment]), (entry,))
        told = ImageConfig((disk,), created=created, **config).as_bytes()
        for data in (index, told):
            store.write_blob(data, digest_of(data))
        manifest = ImageManifest(
            config_descriptor(told),
            Descriptor(BLOCK_INDEX, digest_of(index), len(index)),
            tuple(pack for pack, _blocks in stored),
        )
        return store.write_manifest(manifest.as_bytes(), MANIFEST, tag=tag).digest


def _store_pack(store: Store, blocks: Blocks) -> tuple[Descriptor, Sequence[Block]]:
    data = b"".join(blocks.values())
    store.write_blob(data, digest_of(data))
    found, offset = [], 0
    for number, content in blocks.items():
        found.append(Block(number, hashlib.sha256(content).digest(), digest_of(data), offset, len(content)))
        offset += len(content)
    return Descriptor(PACK, digest_of(data), len(data)), found
