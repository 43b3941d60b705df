# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    create,
    fetch,
    look,
    patch,
    qemu_img,
    rules,
)

ENTRY = 40
EXTRA = 24


@pytest.mark.parametrize("name", ["1234567", "12345678", "123456789"])
def test_a_file_may_end_without_the_padding_of_its_last_snapshot(tmp_path: Path, name: str) -> None:
    """A running QEMU writes the table last, and not the padding behind it."""
    path = create(tmp_path / "disk.qcow2", "qcow2", "8M")
    qemu_img("snapshot", "-c", name, str(path))
    (old,) = fetch(path, 64, ">Q")
    data = path.read_bytes()
    new = -(-len(data) // 65536) * 65536
    table = data[old : old + ENTRY + EXTRA + len("1") + len(name)]
    path.write_bytes(data.ljust(new, b"\0") + table)
    patch(path, 64, ">Q", new)
    facts = look(path)
    assert [one.name for one in facts.snapshots] == [name]
    assert not rules(facts, "unsafe", "error")


def test_a_file_that_ends_within_its_last_snapshot_is_truncated(tmp_path: Path) -> None:
    path = create(tmp_path / "disk.qcow2", "qcow2", "8M")
    qemu_img("snapshot", "-c", "name", str(path))
    (old,) = fetch(path, 64, ">Q")
    path.write_bytes(path.read_bytes()[: old + ENTRY + EXTRA + len("1") + len("nam")])
    assert "truncated" in rules(look(path))


def test_a_table_of_no_snapshots_lies_at_a_cluster_too(tmp_path: Path) -> None:
    """QEMU refuses the image otherwise."""
    path = create(tmp_path / "disk.qcow2", "qcow2", "8M")
    patch(path, 64, ">Q", 8)
    assert rules(look(path), "unsafe", "error") == {"table-bounds"}


@pytest.mark.parametrize(("length", "expected"), [(1023, set()), (1024, {"absurd-size"}), (65535, {"absurd-size"})])
@pytest.mark.parametrize("field", [12, 14], ids=["id", "name"])
def test_long_names_are_not_kept(tmp_path: Path, field: int, length: int, expected: set[str]) -> None:
    path = create(tmp_path / "disk.qcow2", "qcow2", "8M")
    qemu_img("snapshot", "-c", "name", str(path))
    with path.open("ab") as stream:
        stream.write(bytes(1 << 17))
    (table,) = fetch(path, 64, ">Q")
    patch(path, table + field, ">H", length)
    assert rules(look(path), "unsafe", "error") == expected
