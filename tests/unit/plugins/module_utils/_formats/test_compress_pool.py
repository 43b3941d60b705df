# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats import compress_pool
from ansible_collections.imageops.fleet.plugins.module_utils._formats.compress_pool import Block, data_size, packed

from .written import KIB, MIB, TEXT, opened, raw


def keep(number: int, data: bytes) -> Block:
    return Block(number, data, False)


class Known:
    """Content whose extents a test chooses."""

    def __init__(self, size: int, *extents: tuple[int, int]) -> None:
        self.size = size
        self._extents = extents
        self.read_at: list[tuple[int, int]] = []

    def extents(self) -> Iterator[tuple[int, int]]:
        yield from self._extents

    def read(self, offset: int, length: int) -> bytes:
        self.read_at.append((offset, length))
        return b"\1" * length


def test_holes_and_zeros_are_left_out(tmp_path: Path) -> None:
    path = raw(tmp_path / "disk", 8 * MIB, (64 * KIB, TEXT[: 64 * KIB]), (4 * MIB, bytes(MIB)), (7 * MIB, b"\1"))
    with opened(path) as content:
        extents = list(content.extents())
        batches = list(packed(content, block_size=64 * KIB, pack=keep))
        told = data_size(content, block_size=64 * KIB)
    assert sum(end - start for start, end in extents) < 2 * MIB
    assert [block.number for batch in batches for block in batch.blocks] == [1, 112]
    assert sum(batch.read for batch in batches) == told < 2 * MIB


@pytest.mark.parametrize(
    ("extents", "numbers"),
    [
        (((0, 1), (2, 3), (100, 65536)), [0]),
        (((0, 65537), (70000, 70001)), [0, 1]),
        (((65535, 65537), (300000, 300001)), [0, 1, 4]),
        ((), []),
    ],
)
def test_no_block_comes_twice(extents: tuple[tuple[int, int], ...], numbers: list[int]) -> None:
    content = Known(300001, *extents)
    batches = list(packed(content, block_size=65536, pack=keep))
    assert [block.number for batch in batches for block in batch.blocks] == numbers
    assert data_size(content, block_size=65536) == sum(batch.read for batch in batches)
    assert all(batch.end <= content.size for batch in batches)


def test_blocks_come_in_order_and_memory_is_bounded() -> None:
    content = Known(256 * MIB, (0, 256 * MIB))
    batches = packed(content, block_size=2 * MIB, pack=keep)
    assert next(batches).blocks[0].number == 0
    assert len(content.read_at) < 100
    assert [batch.blocks[0].number for batch in batches] == list(range(1, 128))


def test_a_thread_more_than_processors_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress_pool, "workers", lambda: 2)
    met = threading.Barrier(3)

    def together(number: int, data: bytes) -> Block:
        met.wait(timeout=120)
        return keep(number, data)

    batches = list(packed(Known(6 * MIB, (0, 6 * MIB)), block_size=MIB, pack=together))
    assert [batch.blocks[0].number for batch in batches] == list(range(6))


def test_an_error_ends_all() -> None:
    def fails(number: int, data: bytes) -> Block:
        raise OSError("broken")

    before = threading.active_count()
    with pytest.raises(OSError, match="broken"):
        list(packed(Known(64 * MIB, (0, 64 * MIB)), block_size=MIB, pack=fails))
    assert threading.active_count() == before


def test_a_file_that_ends_early_reads_as_zeros(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"\1" * 1000)
    with opened(tmp_path / "disk") as content:
        assert content.read(512, 1024) == b"\1" * 488 + bytes(536)
