# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import inspect_chain
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    convert,
    create,
    disk,
    fetch,
    look,
    patch,
    qemu_img,
    qemu_info,
    refused,
    rules,
)


@pytest.fixture(name="full")
def full_fixture(tmp_path: Path) -> Path:
    return convert(disk(tmp_path / "a.raw", 5 * MIB), tmp_path / "a.qed", "qed", "table_size=2")


@pytest.mark.parametrize("size", ["512", "1536", "3M", "1G"])
@pytest.mark.parametrize("table", [2, 4, 8, 16])
@pytest.mark.parametrize("cluster", ["4k", "64k", "1M"])
def test_every_kind_is_read_as_qemu_reads_it(tmp_path: Path, cluster: str, table: int, size: str) -> None:
    path = create(tmp_path / "a.qed", "qed", size, f"cluster_size={cluster},table_size={table}")
    facts, info = look(path), qemu_info(path, "qed")
    assert (facts.format, facts.virtual_size, facts.cluster_size) == ("qed", info["virtual-size"], info["cluster-size"])
    assert (facts.header["table_size"], facts.findings) == (table, ())


@pytest.mark.parametrize("size", [3 * MIB, 2 * MIB + 512])
@pytest.mark.parametrize("options", ["cluster_size=4k", "cluster_size=64k,table_size=2", "cluster_size=1M"])
def test_images_with_data_have_no_findings(tmp_path: Path, options: str, size: int) -> None:
    path = convert(disk(tmp_path / "a.raw", size), tmp_path / "a.qed", "qed", options)
    subprocess.run(["qemu-io", "-f", "qed", "-c", "write -z 0 64k", str(path)], check=True, capture_output=True)
    assert look(path, "qed").findings == ()


def test_only_raw_backing_files_have_a_recorded_format(tmp_path: Path) -> None:
    create(tmp_path / "base.raw", "raw", "1M")
    create(tmp_path / "base.qcow2", "qcow2", "1M")
    for name, expected in (("raw", {"backing-file"}), ("qcow2", {"backing-file", "backing-format-missing"})):
        path = tmp_path / f"{name}.qed"
        qemu_img("create", "-q", "-f", "qed", "-b", f"base.{name}", "-F", name, str(path))
        links = inspect_chain(str(path))
        assert [Path(link.path).name for link in links] == [path.name, f"base.{name}"]
        assert rules(links[0].facts) == expected


def test_truncation_is_found(full: Path) -> None:
    with full.open("r+b") as stream:
        stream.truncate(full.stat().st_size - 65536)
    assert refused(look(full)) == {"truncated"}


def test_an_image_that_was_not_closed(full: Path) -> None:
    patch(full, 16, "<Q", 2)
    facts = look(full)
    assert (facts.dirty, rules(facts)) == (True, {"unclean"})


ATTACKS: list[tuple[str, int, str, tuple[Any, ...], set[str]]] = [
    ("cluster of 1", 4, "<I", (1,), {"malformed-header"}),
    ("cluster of 2 GiB", 4, "<I", (1 << 31,), {"malformed-header"}),
    ("small table, which QEMU makes and does not open", 8, "<I", (1,), {"malformed-header"}),
    ("no table", 8, "<I", (0,), {"malformed-header"}),
    ("huge table", 8, "<I", (1 << 30,), {"malformed-header"}),
    ("no header", 12, "<I", (0,), {"malformed-header"}),
    ("unknown feature", 16, "<Q", (1 << 40,), {"unknown-feature"}),
    ("L1 past the end", 40, "<Q", (1 << 40,), {"truncated"}),
    ("L1 overflows", 40, "<Q", (0xFFFFFFFFFFFF0000,), {"truncated"}),
    ("L1 on the header", 40, "<Q", (0,), {"table-bounds"}),
    ("size larger than the tables", 48, "<Q", (63 << 40,), {"table-bounds"}),
    ("odd size", 48, "<Q", (1000,), {"malformed-header"}),
    ("size of 8 EiB", 48, "<Q", (1 << 63,), {"absurd-size"}),
    ("size of 65 TiB", 48, "<Q", (65 << 40,), {"absurd-size"}),
    ("backing name outside", 16, "<Q", (1,), set()),
]


@pytest.mark.parametrize(("what", "offset", "layout", "values", "expected"), ATTACKS, ids=[a[0] for a in ATTACKS])
def test_header_attacks_are_refused(
    full: Path, what: str, offset: int, layout: str, values: tuple[Any, ...], expected: set[str]
) -> None:
    patch(full, offset, layout, *values)
    if not expected:
        patch(full, 56, "<II", 65530, 100)
        expected = {"table-bounds"}
    assert refused(look(full)) >= expected, what


@pytest.mark.parametrize(
    ("value", "expected"),
    [(65536 + 512, "table-bounds"), (0, ""), (1 << 40, "truncated")],
    ids=["inside", "none", "far"],
)
def test_entries_of_l2_tables(full: Path, value: int, expected: str) -> None:
    (l1,) = fetch(full, 40, "<Q")
    (l2,) = fetch(full, l1, "<Q")
    patch(full, l2, "<Q", value)
    assert refused(look(full)) == ({expected} if expected else set())


def test_tables_in_one_place(full: Path) -> None:
    (l1,) = fetch(full, 40, "<Q")
    patch(full, l1, "<Q", l1)
    assert refused(look(full)) >= {"shared-table"}


def test_a_bomb(tmp_path: Path) -> None:
    path = convert(disk(tmp_path / "a.raw", MIB), tmp_path / "a.qed", "qed")
    (l1,) = fetch(path, 40, "<Q")
    (l2,) = fetch(path, l1, "<Q")
    patch(path, 48, "<Q", 2 << 30)
    (cluster,) = fetch(path, l2, "<Q")
    patch(path, l2, "<1000Q", *[cluster or 65536 * 12] * 1000)
    assert "shared-table" in refused(look(path))


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        (("cluster_size=1M",), 1 << 40, {"unsupported-variant"}),
        (("cluster_size=1M",), 4 << 30, {"unsupported-variant"}),
        (("cluster_size=1M",), (4 << 30) - 512, set()),
        ((), 1 << 40, set()),
    ],
    ids=["a table of 512 GiB", "a disk of 4 GiB", "just below", "many tables of 2 GiB"],
)
def test_a_table_of_4_gib_aborts_qemu(tmp_path: Path, options: tuple[str, ...], size: int, expected: set[str]) -> None:
    path = convert(disk(tmp_path / "a.raw", MIB), tmp_path / "a.qed", "qed", *options)
    patch(path, 48, "<Q", size)
    assert refused(look(path)) == expected
