# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small image made by hand, as publishing would make it, for tests of what holds images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_bytes, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import (
    DiskEntry,
    ImageConfig,
    ImageManifest,
    SegmentEntry,
    config_descriptor,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import BLOCK_INDEX, MANIFEST, PACK
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import (
    BLOCK_SIZE,
    SEGMENT_BLOCKS,
    SEGMENT_SIZE,
    Block,
    Segment,
    content_digest,
    make_segment,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import Store
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.zstd import library


@dataclass(frozen=True)
class SmallImage:
    """An image with its blobs; `blocks` are its content."""

    manifest: ImageManifest
    config: ImageConfig
    blobs: Mapping[str, bytes]
    segments: tuple[Segment, ...]

    @property
    def digest(self) -> str:
        return digest_of(self.manifest.as_bytes())

    def publish(self, store: Store, tag: str = "") -> Descriptor:
        """Write it as publishing does: blobs first, the manifest with its tag last."""
        with store.publishing():
            for digest, data in self.blobs.items():
                store.write_blob(data, digest)
            return store.write_manifest(self.manifest.as_bytes(), MANIFEST, tag=tag)


def small_image(
    text: str = "one", *, blocks: int = 3, created: str = "2026-11-28T16:00:00Z", gap: int = 0
) -> SmallImage:
    """One disk of 3 GiB with `blocks` blocks in its first and third GiB; `gap` bytes lie between the segments of the index."""
    compressor = library().ZstdCompressor(level=3)
    content = [text.encode().ljust(BLOCK_SIZE, bytes([65 + number])) for number in range(blocks)]
    frames = [compressor.compress(data) for data in content]
    pack = b"".join(frames)
    offsets = [sum(map(len, frames[:number])) for number in range(blocks)]
    segments = tuple(
        make_segment(
            gib,
            [
                Block(
                    gib * SEGMENT_BLOCKS + gib + number,
                    digest_bytes(digest_of(content[number])),
                    digest_of(pack),
                    offsets[number],
                    len(frames[number]),
                )
                for number in range(blocks)
            ],
        )
        for gib in (0, 2)
    )
    index, entries = b"", []
    for segment in segments:
        data = segment.as_bytes()
        entries.append(SegmentEntry(segment.number, digest_of(data), len(index), len(data), len(segment)))
        index += data + bytes(gap)
    size = 3 * SEGMENT_SIZE
    disk = DiskEntry("vda", size, content_digest(size, segments), tuple(entries))
    config = ImageConfig((disk,), created=created)
    manifest = ImageManifest(
        config_descriptor(config.as_bytes()),
        Descriptor(BLOCK_INDEX, digest_of(index), len(index)),
        (Descriptor(PACK, digest_of(pack), len(pack)),),
    )
    blobs = {digest_of(data): data for data in (pack, index, config.as_bytes())}
    return SmallImage(manifest, config, blobs, segments)
