# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A raw image, written by several threads at once: zeros stay holes."""

from __future__ import annotations

import os

from .compress_pool import Block, Report, packed
from .gathered_writes import write_at
from .guest_content import GuestContent

# What is looked at for zeros; a multiple of every file system's block.
_GRAIN = 64 << 10


def write_raw(content: GuestContent, handle: int, *, report: Report) -> None:
    """Write the image into the empty file `handle`, durably; `report` is called after every batch."""

    def store(number: int, data: bytes) -> Block:
        write_at(handle, data, number * _GRAIN)
        return Block(number, b"", False)

    for batch in packed(content, block_size=_GRAIN, pack=store):
        report(batch.end, batch.read)
    # The last grain may reach beyond the end, and the file's end may be a hole.
    os.ftruncate(handle, content.size)
    os.fsync(handle)
