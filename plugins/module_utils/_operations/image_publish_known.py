# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks that a repository holds already: those of its newest images, and of what the task names besides."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Callable

from .._catalog.packs import KnownBlocks
from .._catalog.tags import version_tags
from .._errors import ImageOpsError, NotFound, TransferError, Unsupported
from .._registry.images import LoadedImage, load_image, load_segments
from .._registry.interface import Store
from .._transfer.stream import Broken
from .segment_cache import SegmentCache

# Of more images the index costs more than the blocks that only they have would.
_MOST_IMAGES = 8
_MOST_LOOKED_AT = 32
Warn = Callable[[LoadedImage, ImageOpsError], None]


def known_blocks(store: Store, tags: Mapping[str, str], *, first: Sequence[str] = (), warn: Warn) -> KnownBlocks:
    """The blocks of the images `first` (tags or digests), and of the newest ones that `tags` name.

    An image whose block index was lost or damaged only shares nothing, which `warn` is told.
    """
    known, cache = KnownBlocks(), SegmentCache()
    loaded = {image.digest: image for image in (load_image(store, version) for version in first)}
    for image in [*loaded.values(), *_newest(store, tags, besides=loaded)]:
        try:
            _add(known, store, image, cache)
        except Broken:
            raise
        except (NotFound, TransferError) as error:
            warn(image, error)
    return known


def _add(known: KnownBlocks, store: Store, image: LoadedImage, cache: SegmentCache) -> None:
    """The blocks of all disks of an image, or none."""
    found = [load_segments(store, image, disk, cache) for disk in image.config.disks]
    sizes = {pack.digest: pack.size for pack in image.manifest.packs}
    for segments in found:
        known.add_segments(segments, sizes)


def _newest(store: Store, tags: Mapping[str, str], *, besides: Iterable[str]) -> list[LoadedImage]:
    """What is no image of ours, or is damaged, shares nothing."""
    named: dict[str, str] = {}
    for tag in sorted(version_tags(tags), key=_natural, reverse=True):
        named.setdefault(tags[tag], tag)
    left = [digest for digest in named if digest not in set(besides)]
    found = list(_loaded(store, left[:_MOST_LOOKED_AT]))
    return sorted(found, key=lambda image: image.created or 0.0, reverse=True)[:_MOST_IMAGES]


def _loaded(store: Store, digests: Sequence[str]) -> Iterator[LoadedImage]:
    for digest in digests:
        image = image_or_none(store, digest)
        if image is not None:
            yield image


def image_or_none(store: Store, version: str) -> LoadedImage | None:
    """The image, None for what isn't there, is none of ours, or can't be read."""
    try:
        return load_image(store, version)
    except (NotFound, TransferError, Unsupported):
        return None


def _natural(tag: str) -> list[tuple[bool, int, str]]:
    """Sorts 1.10 behind 1.9."""
    parts = re.findall(r"\d+|\D+", tag)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
