# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images in a catalog, made by hand of the model's parts, so that tests of a pull need no publish."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import zstandard
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import (
    DiskEntry,
    ImageConfig,
    ImageManifest,
    SegmentEntry,
    config_descriptor,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    BLOCK_INDEX,
    MANIFEST,
    PACK,
    VARIABLES,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import (
    BLOCK_SIZE,
    SEGMENT_BLOCKS,
    Block,
    content_digest,
    make_segment,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.variables import Variables
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore

# A disk: its size, and the content of its blocks by number.
Disk = tuple[int, Mapping[int, bytes]]


def disk_of(path: Path) -> Disk:
    """The disk in a raw file."""
    data = path.read_bytes()
    pieces = ((at // BLOCK_SIZE, data[at : at + BLOCK_SIZE]) for at in range(0, len(data), BLOCK_SIZE))
    return len(data), {number: piece.ljust(BLOCK_SIZE, b"\0") for number, piece in pieces if piece.strip(b"\0")}


def bytes_of(disk: Disk) -> bytes:
    """What a guest sees of a disk."""
    size, blocks = disk
    content = bytearray(-(-size // BLOCK_SIZE) * BLOCK_SIZE)
    for number, data in blocks.items():
        content[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE] = data
    return bytes(content[:size])


class HandMade:
    """A directory catalog whose images are made at once; packs hold `per_pack` blocks."""

    def __init__(self, path: Path, *, per_pack: int = 64, level: int = 3) -> None:
        self.path = path
        self.store = LayoutStore(str(path))
        self._per_pack = per_pack
        self._engine = zstandard.ZstdCompressor(level=level)
        self._known: dict[bytes, Block] = {}
        self.packs: dict[str, int] = {}

    def publish(
        self, disks: Mapping[str, Disk], *, tag: str, variables: bytes = b"", told: Variables | None = None
    ) -> str:
        """Publish an image; its digest. Blocks that an earlier one has aren't stored again.

        What is `told` of its UEFI variables may be untrue.
        """
        index, entries = b"", []
        used: dict[str, int] = {}
        for name, (size, blocks) in disks.items():
            found = self._stored(blocks)
            segments, placed = [], []
            for number, group in _by_segment(found):
                segment = make_segment(number, group)
                data = segment.as_bytes()
                placed.append(SegmentEntry(number, digest_of(data), len(index), len(data), len(segment)))
                segments.append(segment)
                index += data
            used.update({block.pack: self.packs[block.pack] for block in found})
            entries.append(DiskEntry(name, size, content_digest(size, segments), tuple(placed)))
        told = told or (Variables(digest_of(variables), len(variables)) if variables else None)
        vm = {"vm": {"variables": told.as_dict()}} if told else {}
        frame = self._engine.compress(variables) if variables else b""
        config = ImageConfig(tuple(entries), **vm).as_bytes()
        for data in (index, config, *([frame] if frame else [])):
            self.store.write_blob(data, digest_of(data))
        manifest = ImageManifest(
            config_descriptor(config),
            Descriptor(BLOCK_INDEX, digest_of(index), len(index)),
            tuple(Descriptor(PACK, digest, size) for digest, size in used.items()),
            variables=Descriptor(VARIABLES, digest_of(frame), len(frame)) if frame else None,
        )
        return self.store.write_manifest(manifest.as_bytes(), MANIFEST, tag=tag).digest

    def _stored(self, blocks: Mapping[int, bytes]) -> list[Block]:
        fresh = {hashlib.sha256(data).digest(): data for data in blocks.values()}
        waiting = [(digest, data) for digest, data in fresh.items() if digest not in self._known]
        for at in range(0, len(waiting), self._per_pack):
            frames = [(digest, self._engine.compress(data)) for digest, data in waiting[at : at + self._per_pack]]
            pack = b"".join(frame for _digest, frame in frames)
            name, place = digest_of(pack), 0
            self.store.write_blob(pack, name)
            self.packs[name] = len(pack)
            for digest, frame in frames:
                self._known[digest] = Block(0, digest, name, place, len(frame))
                place += len(frame)
        return [self._placed(number, blocks[number]) for number in sorted(blocks)]

    def _placed(self, number: int, data: bytes) -> Block:
        known = self._known[hashlib.sha256(data).digest()]
        return Block(number, known.digest, known.pack, known.offset, known.length)


def _by_segment(blocks: Iterable[Block]) -> list[tuple[int, list[Block]]]:
    found: dict[int, list[Block]] = {}
    for block in blocks:
        found.setdefault(block.number // SEGMENT_BLOCKS, []).append(block)
    return sorted(found.items())
