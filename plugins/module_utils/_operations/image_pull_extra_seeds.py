# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeds that a task names: images of any origin, inspected, and read from end to end to know which blocks they hold."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Callable

from .._catalog.segment import BLOCK_SIZE
from .._formats.compress_pool import workers
from .._formats.guest_content import GuestContent, RawContent
from .._qemu.node import Image
from .guest_pieces import pieces
from .image_pull_seeds import Seed
from .inspection import Inspected, inspect
from .side_by_side import side_by_side

# Told how many bytes were read since the last call.
Report = Callable[[int], None]


@contextlib.contextmanager
def extra_seeds(paths: Sequence[str], *, report: Report) -> Iterator[list[Seed]]:
    """The images at `paths`, open and known; raises what inspecting an image raises."""
    with contextlib.ExitStack() as stack:
        yield [
            _indexed(path, stack.enter_context(_opened(inspect(path, declared=None, option="seeds"))), report)
            for path in paths
        ]


@contextlib.contextmanager
def _opened(image: Inspected) -> Iterator[tuple[GuestContent, int]]:
    """What the guest sees, and a raw image's descriptor."""
    if image.format != "raw":
        from .._qemu.nbd_export import exported

        with exported(Image(image.path, image.format), readers=workers()) as content:
            yield content, -1
        return
    handle = os.open(image.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield RawContent(handle, image.virtual_size), handle
    finally:
        os.close(handle)


def _indexed(path: str, opened: tuple[GuestContent, int], report: Report) -> Seed:
    content, handle = opened
    found: dict[int, bytes] = {}

    def look(piece: tuple[int, int]) -> None:
        start, end = piece
        view = memoryview(content.read(start, end - start))
        for at in range(0, end - start, BLOCK_SIZE):
            found[start + at] = hashlib.sha256(view[at : at + BLOCK_SIZE]).digest()
        report(end - start)

    side_by_side(pieces(content), work=look, threads=workers())
    offsets = sorted(found)
    digests = b"".join(found[offset] for offset in offsets)
    return Seed(path, handle, digests, offsets, content=content)
