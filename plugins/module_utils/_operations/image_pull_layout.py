# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where each block of a disk lies in a file of ours, known before the first block is there."""

from __future__ import annotations

from typing import Protocol

from .._catalog.blocks import DiskBlocks
from .._catalog.segment import BLOCK_SIZE
from .._formats.qcow2_plain import PlainQcow2


class Layout(Protocol):
    """A file's layout. `file_size` is what the finished file has."""

    file_size: int

    def offset(self, index: int) -> int:
        """Where the block of that index in DiskBlocks lies."""

    def tables(self) -> bytes:
        """What lies behind the first cluster beside data; nothing for a raw file."""

    def header(self) -> bytes:
        """What is written last, at the file's start; nothing for a raw file."""


class RawLayout:
    """A raw file: blocks lie where the guest sees them."""

    def __init__(self, blocks: DiskBlocks) -> None:
        self._numbers = blocks.numbers
        self.file_size = blocks.size

    def offset(self, index: int) -> int:
        return self._numbers[index] * BLOCK_SIZE

    def tables(self) -> bytes:
        return b""

    def header(self) -> bytes:
        return b""


def layout_of(blocks: DiskBlocks, format: str) -> Layout:
    """The layout of a disk in a file of `format` (raw or qcow2)."""
    return PlainQcow2(blocks.size, blocks.numbers) if format == "qcow2" else RawLayout(blocks)
