# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a pull asks the catalog before anything is changed: the image, who signed it, and whether a file here holds its content."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .._catalog.blocks import DiskBlocks, checked_blocks
from .._catalog.image import DiskEntry, is_image, load_manifest
from .._catalog.ranges import make_parts
from .._catalog.segment import BLOCK_SIZE
from .._catalog.variables import Variables
from .._formats.chain import inspect_chain
from .._formats.safety import refusals
from .._registry.images import LoadedImage, load_image, load_segments
from .._registry.interface import Store
from .._registry.open import open_store
from .held_images import held_images
from .held_variables import fetch_variables, image_variables
from .image_pull_compare import first_difference
from .image_pull_disk import chosen_disk
from .image_pull_found import Found
from .image_pull_layout import layout_of
from .image_pull_log import PullLog
from .image_pull_request import PullRequest
from .image_pull_seeds import find_runs, held_seeds
from .operation import Tools
from .segment_cache import SegmentCache


class Look:
    """One image in its open store; segments are read when they are asked for, and kept nowhere."""

    def __init__(self, request: PullRequest, store: Store) -> None:
        self._request = request
        self._store = store
        self.image: LoadedImage = load_image(store, request.digest)
        self.disk: DiskEntry = chosen_disk(self.image.config, request.disk, shown=request.shown)

    def blocks(self) -> DiskBlocks:
        """The blocks of the disk."""
        segments = load_segments(self._store, self.image, self.disk, SegmentCache(writes=False))
        return checked_blocks(self.disk, segments, where=self._request.shown)

    def told_variables(self) -> dict[str, Any]:
        """What the image says of its UEFI variables; nothing when it has none."""
        found = image_variables(self.image, where=self._request.shown)
        return found[0].as_dict() if found else {}

    def variables(self) -> tuple[Variables, bytes] | None:
        """Its UEFI variables, read while the store is open."""
        return fetch_variables(self._store, self.image)

    def is_in(self, found: Found) -> bool:
        """Whether the file at `dest` holds the disk in the format that is asked for; it is read unless its record tells."""
        request, record = self._request, found.record
        if found.pulled and found.clean and record is not None:
            return (found.pulled.get("content"), record.format) == (self.disk.content, request.format)
        chain = inspect_chain(request.dest, declared=request.format)
        facts = chain[0].facts
        size = -(-self.disk.size // 512) * 512
        if len(chain) > 1 or refusals(chain) or (facts.format, facts.virtual_size) != (request.format, size):
            return False
        return first_difference(request.dest, request.format, self.blocks(), report=lambda count: None) is None

    def estimate(self) -> dict[str, Any]:
        """How many bytes would be fetched, and of the disk's how many are here already."""
        request, blocks = self._request, self.blocks()
        layout = layout_of(blocks, request.format)
        past = PullLog(request.dest).load(request.identity(self.disk.name), blocks)
        missing = [index for index in range(len(blocks)) if past is None or not past.written[index]]
        held = held_images() if request.held else []
        with held_seeds(held, SegmentCache(writes=False), trusting=False) as seeds:
            here = {index for run in find_runs(blocks, missing, layout, seeds) for index in run.indexes}
        parts = make_parts(blocks, (index for index in missing if index not in here))
        return {
            "fetched_bytes": sum(part.size for part in parts),
            "reused_bytes": len(here) * BLOCK_SIZE,
            "resumed_bytes": (len(blocks) - len(missing)) * BLOCK_SIZE,
        }


@contextlib.contextmanager
def trusted_store(request: PullRequest, tools: Tools) -> Iterator[Store]:
    """The repository, for the time of the block; raises UnsafeImage when the image isn't signed as it must be."""
    with contextlib.closing(open_store(request.reference, request.access)) as store:
        if request.signature:
            from .image_signature import require_signed

            require_signed(store, request.digest, request.signature, tools.commands)
        yield store


def is_container(request: PullRequest, store: Store) -> bool:
    """Whether it is an image of a container, and none of ours."""
    where = f"{store.where}@{request.digest}"
    return not is_image(load_manifest(store.manifest(request.digest)[1], where=where))
