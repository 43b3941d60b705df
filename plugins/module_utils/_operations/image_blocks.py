# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many blocks the versions of a repository share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .._catalog.segment import Segment
from .._registry.images import LoadedImage, load_segments
from .._registry.interface import Store
from .image_versions import FoundVersion

_DIGEST = 32


class _Fetched:
    """Segments that versions share are fetched once."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def get(self, digest: str) -> bytes | None:
        return self._kept.get(digest)

    def put(self, digest: str, data: bytes) -> None:
        self._kept[digest] = data


def count_blocks(store: Store, versions: Sequence[FoundVersion]) -> dict[str, dict[str, int]]:
    """For each version how many different blocks it has, and how many of them another one has too, and the bytes of their frames."""
    cache = _Fetched()
    images = [version.image for version in versions if version.image is not None]
    having: Counter[bytes] = Counter()
    for image in images:
        having.update(_lengths(store, image, cache).keys())
    # Read twice, since the blocks of all versions at once would take much memory.
    return {image.digest: _counted(_lengths(store, image, cache), having) for image in images}


def _counted(blocks: dict[bytes, int], having: Counter[bytes]) -> dict[str, int]:
    shared = [length for block, length in blocks.items() if having[block] > 1]
    return {
        "total": len(blocks),
        "shared": len(shared),
        "total_bytes": sum(blocks.values()),
        "shared_bytes": sum(shared),
    }


def _lengths(store: Store, image: LoadedImage, cache: _Fetched) -> dict[bytes, int]:
    return {digest: length for segment in _segments(store, image, cache) for digest, length in _frames(segment)}


def _segments(store: Store, image: LoadedImage, cache: _Fetched) -> Iterator[Segment]:
    for disk in image.config.disks:
        yield from load_segments(store, image, disk, cache)


def _frames(segment: Segment) -> Iterator[tuple[bytes, int]]:
    for index, length in enumerate(segment.lengths):
        yield segment.digests[index * _DIGEST : (index + 1) * _DIGEST], length
