# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import tarfile

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._portable import tar_writer
from ansible_collections.imageops.fleet.plugins.module_utils._portable.tar_writer import TarWriter


class Memory:
    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes, offset: int) -> None:
        self.data[offset : offset + len(data)] = data


def content(archive: tarfile.TarFile, name: str) -> bytes:
    stream = archive.extractfile(name)
    assert stream is not None
    return stream.read()


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 5000])
def test_members_are_read_back(size: int) -> None:
    memory = Memory()
    tar = TarWriter(memory)
    fill = tar.room("first", 700)
    assert tar.member(lambda: "second", lambda append: [append(b"x" * size), append(b"y")][0]) == size + 1
    tar.file("third", b"z" * size)
    padded = fill(b"short")
    tar.end()
    assert len(memory.data) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(memory.data)) as archive:
        assert archive.getnames() == ["first", "second", "third"]
        assert content(archive, "first") == padded
        assert content(archive, "second") == b"x" * size + b"y"
        assert content(archive, "third") == b"z" * size


def test_room_is_filled_to_its_last_block() -> None:
    tar = TarWriter(Memory())
    for length in (0, 1, 512, 513, 700):
        padded = tar.room("name", 700)(b"x" * length)
        assert 512 < len(padded) <= 1024
        assert padded.rstrip(b"\n") == b"x" * length
    with pytest.raises(ValueError, match="more room"):
        tar.room("name", 700)(bytes(1025))


def test_a_large_size_is_binary() -> None:
    for size in (8**11 - 1, 8**11, 1 << 43):
        assert tarfile.TarInfo.frombuf(tar_writer.header("x", size), "utf-8", "strict").size == size


def test_a_name_that_a_header_has_no_room_for() -> None:
    for name in ("", "x" * 101):
        with pytest.raises(ValueError, match="is no name"):
            tar_writer.header(name, 0)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 25, 26, 100])
@pytest.mark.parametrize("to_end", [False, True])
def test_a_sparse_file_is_read_back(count: int, to_end: bool) -> None:
    size = 4096 * (2 * count + 2)
    runs = [(4096 * (2 * number + 1), 4096 * (2 * number + 2)) for number in range(count)]
    if to_end:
        runs.append((size - 4096, size))
    data = b"".join(bytes([number + 1]) * (end - start) for number, (start, end) in enumerate(runs))
    told = runs if to_end else [*runs, (size, size)]
    head = b"".join(tar_writer.sparse_header("disk.raw", size, told, data=len(data)))
    assert len(head) == tar_writer.sparse_header_size(len(told))
    whole = head + data
    whole += tar_writer.trailer(len(whole))
    with tarfile.open(fileobj=io.BytesIO(whole)) as archive:
        found = content(archive, "disk.raw")
    assert len(found) == size
    for number, (start, end) in enumerate(runs):
        assert found[start:end] == bytes([number + 1]) * (end - start)
    assert sum(map(bool, found)) == len(data)
