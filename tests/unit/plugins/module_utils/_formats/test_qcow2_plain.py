# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_plain import CLUSTER, PlainQcow2

from .images import look, qemu_img

MIB, GIB, TIB = 1 << 20, 1 << 30, 1 << 40


def block(number: int) -> bytes:
    return (number + 1).to_bytes(8, "little") * (CLUSTER // 8)


def written(path: Path, size: int, numbers: Sequence[int]) -> PlainQcow2:
    """The image with its data written from the last to the first."""
    layout = PlainQcow2(size, numbers)
    with path.open("wb") as stream:
        stream.truncate(layout.file_size)
        stream.seek(CLUSTER)
        stream.write(layout.tables())
        for index in reversed(range(len(numbers))):
            stream.seek(layout.offset(index))
            stream.write(block(numbers[index]))
        stream.seek(0)
        stream.write(layout.header())
    return layout


def raw_of(path: Path, size: int, numbers: Sequence[int]) -> Path:
    with path.open("wb") as stream:
        for number in numbers:
            stream.seek(number * CLUSTER)
            stream.write(block(number))
        stream.truncate(size)
    return path


@pytest.mark.parametrize(
    ("size", "numbers"),
    [
        (MIB, []),
        (512, [0]),
        (5 * MIB + 1536, [0, 1, 2, 79]),
        (GIB, [8191, 8192, 16383]),
        (3 * GIB, [0, 1, 2, 3, 20000, 20001, 49151]),
        (20 * TIB, [7, 327679999]),
    ],
)
def test_qemu_reads_what_was_written(tmp_path: Path, size: int, numbers: Sequence[int]) -> None:
    target = tmp_path / "target"
    written(target, size, numbers)
    found = json.loads(qemu_img("check", "--output=json", "-f", "qcow2", str(target)))
    assert found["check-errors"] == 0
    assert not {"leaks", "corruptions"} & set(found)
    assert found["image-end-offset"] == os.stat(target).st_size
    if size < TIB:
        source = raw_of(tmp_path / "source", size, numbers)
        qemu_img("compare", "-q", "-f", "raw", "-F", "qcow2", str(source), str(target))
    assert json.loads(qemu_img("info", "--output=json", str(target)))["virtual-size"] == size
    facts = look(target)
    assert facts.format == "qcow2" and not facts.findings


def test_many_clusters_need_several_refcount_blocks(tmp_path: Path) -> None:
    numbers = range(3, 70003)
    target = tmp_path / "target"
    layout = PlainQcow2(5 * GIB, numbers)
    with target.open("wb") as stream:
        stream.truncate(layout.file_size)
        stream.write(layout.header().ljust(CLUSTER, b"\0") + layout.tables())
    found = json.loads(qemu_img("check", "--output=json", "-f", "qcow2", str(target)))
    assert not {"leaks", "corruptions"} & set(found)
    assert found["allocated-clusters"] == 70000


def test_without_its_header_it_is_no_image(tmp_path: Path) -> None:
    layout = PlainQcow2(MIB, [0])
    assert layout.tables()[:4] != b"QFI\xfb"
    assert layout.offset(0) == layout.data_start == CLUSTER + len(layout.tables())


def test_what_qemu_would_not_open_is_refused() -> None:
    with pytest.raises(InvalidOption, match="2 PiB"):
        PlainQcow2(3 << 50, [])
