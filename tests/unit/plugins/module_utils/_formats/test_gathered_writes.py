# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.gathered_writes import GatheredWrites, write_at

from .written import MIB


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The offsets that the kernel was called with."""
    found: list[int] = []
    real = os.pwritev

    def counted(handle: int, pieces: Sequence[bytes], offset: int) -> int:
        found.append(offset)
        return real(handle, pieces, offset)

    monkeypatch.setattr(os, "pwritev", counted)
    return found


def written(path: Path, *pieces: tuple[int, bytes]) -> bytes:
    with path.open("wb") as stream:
        file = GatheredWrites(stream.fileno())
        for offset, data in pieces:
            file.write(data, offset)
        file.flush()
        file.flush()
    return path.read_bytes()


def test_neighbours_are_written_together(tmp_path: Path, calls: list[int]) -> None:
    assert written(tmp_path / "out", (3, b"abc"), (6, b"de"), (8, b"f")) == b"\0\0\0abcdef"
    assert calls == [3]


def test_others_go_where_they_belong(tmp_path: Path, calls: list[int]) -> None:
    assert written(tmp_path / "out", (4, b"abc"), (0, b"de"), (2, b"f"), (7, b"g")) == b"def\0abcg"
    assert calls == [4, 0, 7]


def test_little_is_kept_back(tmp_path: Path, calls: list[int]) -> None:
    many = [(number, bytes([number & 255])) for number in range(5000)]
    assert written(tmp_path / "out", *many) == bytes(number & 255 for number in range(5000))
    assert len(calls) > 1
    calls.clear()
    large = [(number * MIB, bytes([number]) * MIB) for number in range(10)]
    assert len(written(tmp_path / "out", *large)) == 10 * MIB
    assert calls == [0, 4 * MIB, 8 * MIB]


def test_much_is_on_its_way_to_the_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda handle, offset, length, advice: begun.append((offset, length)))
    pieces = [(number * MIB, bytes([number]) * MIB) for number in range(10)]
    assert len(written(tmp_path / "out", *pieces, (20 * MIB, b"little"))) == 20 * MIB + 6
    assert begun == [(0, 4 * MIB), (4 * MIB, 4 * MIB)]


def test_short_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    single = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda handle, data, offset: single(handle, data[:3], offset))
    monkeypatch.setattr(os, "pwritev", lambda handle, pieces, offset: single(handle, b"".join(pieces)[:2], offset))
    with (tmp_path / "out").open("wb") as stream:
        write_at(stream.fileno(), b"0123456789", 2)
    assert (tmp_path / "out").read_bytes() == b"\0\0" + b"0123456789"
    assert written(tmp_path / "out", (0, b"abc"), (3, b"defgh"), (10, b"xyz")) == b"abcdefgh\0\0xyz"
