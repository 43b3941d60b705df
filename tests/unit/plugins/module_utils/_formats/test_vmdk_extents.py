# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
import struct
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import inspect_chain
from ansible_collections.imageops.fleet.plugins.module_utils._formats.safety import refusals
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    convert,
    disk,
    patch,
    qemu_img,
    qemu_info,
)

SPLIT = ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"]


def extents_of(path: Path) -> list[str]:
    return [str(one) for one in sorted(path.parent.iterdir()) if one.name.startswith(f"{path.stem}-")]


def said(path: Path, *, declared: bool = True) -> set[str]:
    """The rules for which the disk is refused when all its extents were declared."""
    chain = inspect_chain(str(path))
    return {found.rule for found in refusals(chain, allowed_backing=extents_of(path) if declared else ())}


@pytest.mark.parametrize("subformat", SPLIT)
def test_declared_extents_make_a_disk_of_several_files_usable(tmp_path: Path, subformat: str) -> None:
    path = convert(disk(tmp_path / "a.raw", 5 * MIB), tmp_path / "d.vmdk", "vmdk", f"subformat={subformat}")
    chain = inspect_chain(str(path))
    assert [link.role for link in chain] == ["image"] + ["extent"] * len(extents_of(path))
    assert chain[0].facts.virtual_size == qemu_info(path, "vmdk")["virtual-size"]
    assert (said(path), said(path, declared=False)) == (set(), {"extent-file"})


def test_every_extent_needs_its_declaration(tmp_path: Path) -> None:
    path = tmp_path / "d.vmdk"
    qemu_img("create", "-q", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", str(path), "5G")
    names = extents_of(path)
    assert len(names) == 3
    assert not refusals(inspect_chain(str(path)), allowed_backing=names)
    assert refusals(inspect_chain(str(path)), allowed_backing=names[:2])


@pytest.fixture(name="sparse")
def sparse_fixture(tmp_path: Path) -> Path:
    return convert(disk(tmp_path / "a.raw", 3 * MIB), tmp_path / "d.vmdk", "vmdk", "subformat=twoGbMaxExtentSparse")


@pytest.fixture(name="flat")
def flat_fixture(tmp_path: Path) -> Path:
    return convert(disk(tmp_path / "a.raw", 3 * MIB), tmp_path / "d.vmdk", "vmdk", "subformat=monolithicFlat")


def test_a_missing_extent_is_named(flat: Path) -> None:
    Path(extents_of(flat)[0]).unlink()
    assert "reference-missing" in said(flat)


def test_a_short_extent_is_truncation(flat: Path) -> None:
    with open(extents_of(flat)[0], "r+b") as stream:
        stream.truncate(3 * MIB - 512)
    assert said(flat) == {"truncated"}


def test_a_link_to_another_folder_is_not_followed(flat: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    name = Path(extents_of(flat)[0])
    name.rename(other / "secret")
    name.symlink_to(other / "secret")
    assert said(flat) == {"extent-file"}


def test_an_extent_that_is_the_descriptor_is_a_loop(flat: Path) -> None:
    flat.write_bytes(flat.read_bytes().replace(b"d-flat.vmdk", b"d.vmdk"))
    assert "chain-loop" in said(flat)


def test_an_extent_of_another_size_is_refused(sparse: Path) -> None:
    patch(Path(extents_of(sparse)[0]), 12, "<Q", 2048)
    assert "header-mismatch" in said(sparse)


def test_an_extent_with_a_descriptor_of_its_own_is_refused(sparse: Path, tmp_path: Path) -> None:
    """QEMU follows such a descriptor when the header's capacity is 0."""
    extent = Path(extents_of(sparse)[0])
    extent.unlink()
    convert(tmp_path / "a.raw", extent, "vmdk")
    assert "unsupported-variant" in said(sparse)


def test_a_sparse_file_that_is_named_twice_is_refused(sparse: Path) -> None:
    line = next(one for one in sparse.read_bytes().split(b"\n") if one.startswith(b"RW"))
    sparse.write_bytes(sparse.read_bytes().replace(line, line + b"\n" + line))
    assert "shared-table" in said(sparse)


def test_a_delta_link_has_a_parent_and_extents(sparse: Path, tmp_path: Path) -> None:
    delta = tmp_path / "delta.vmdk"
    options = ["-o", "subformat=twoGbMaxExtentSparse", "-b", sparse.name, "-F", "vmdk"]
    qemu_img("create", "-q", "-f", "vmdk", *options, str(delta))
    chain = inspect_chain(str(delta))
    assert [link.role for link in chain] == ["image", "backing", "extent", "extent"]
    allowed = [str(sparse), *extents_of(sparse), *extents_of(delta)]
    # QEMU writes an empty line behind the extents, which no reader minds.
    assert not refusals(chain, allowed_backing=allowed)


def cowd(path: Path, *, sectors: int, grain: int = 1) -> Path:
    """A sparse extent of ESX with one grain of data, as the specification lays it out."""
    tables = -(-sectors // (4096 * grain))
    header = struct.pack("<4sIIIIIII", b"COWD", 1, 3, sectors, grain, 4, tables, 4 + 1 + 32 + grain)
    directory = struct.pack("<I", 5).ljust(512, b"\0")
    table = struct.pack("<I", 5 + 32).ljust(32 * 512, b"\0")
    path.write_bytes(header.ljust(4 * 512, b"\0") + directory + table + b"\x55" * 512 * grain)
    return path


def test_a_disk_of_esx_is_read_as_qemu_reads_it(tmp_path: Path) -> None:
    extent = cowd(tmp_path / "d-delta.vmdk", sectors=4096)
    path = tmp_path / "d.vmdk"
    path.write_text(
        '# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType="vmfsSparse"\n'
        f'RW 4096 VMFSSPARSE "{extent.name}"\nddb.adapterType = "lsilogic"\n'
    )
    chain = inspect_chain(str(path))
    assert (chain[0].facts.variant, said(path)) == ("vmfsSparse", set())
    assert chain[0].facts.virtual_size == qemu_info(path, "vmdk")["virtual-size"] == 4096 * 512


def test_a_thick_disk_of_esx_is_read_as_qemu_reads_it(tmp_path: Path) -> None:
    (tmp_path / "d-flat.vmdk").write_bytes(bytes(MIB))
    path = tmp_path / "d.vmdk"
    path.write_text(
        '# Disk DescriptorFile\nversion=1\nencoding="UTF-8"\nCID=fffffffe\nparentCID=ffffffff\ncreateType="vmfs"\n\n'
        '# Extent description\nRW 2048 VMFS "d-flat.vmdk"\n\nddb.virtualHWVersion = "13"\n'
    )
    assert (inspect_chain(str(path))[0].facts.virtual_size, said(path)) == (MIB, set())
    assert qemu_info(path, "vmdk")["virtual-size"] == MIB


@pytest.mark.parametrize(
    ("offset", "value", "rule"),
    [(4, 9, "malformed-header"), (12, 0, "malformed-header"), (12, 1 << 30, "table-bounds"), (16, 0, "malformed-header"),
     (20, 1 << 30, "truncated"), (24, 0, "table-bounds"), (24, 1 << 30, "absurd-size"), (5 * 512, 2, "table-overlap"),
     (5 * 512, 1 << 20, "truncated")],
)  # fmt: skip
def test_hostile_extents_of_esx_are_refused(tmp_path: Path, offset: int, value: int, rule: str) -> None:
    path = cowd(tmp_path / "d.vmdk", sectors=4096)
    patch(path, offset, "<I", value)
    assert rule in said(path)


def test_damaged_text_never_breaks_the_parser(sparse: Path) -> None:
    good, source = sparse.read_bytes().rstrip(b"\0"), random.Random(11)
    for _turn in range(400):
        data = bytearray(good)
        for _more in range(source.choice((1, 2, 8))):
            at = source.randrange(len(data))
            data[at : at + source.randrange(3)] = source.choice(
                (b"", b"\n", b'"', b"RW ", b"\0", b"9" * 30, source.randbytes(2))
            )
        sparse.write_bytes(data)
        said(sparse)


def test_damaged_extents_of_esx_never_break_the_parser(tmp_path: Path) -> None:
    path = cowd(tmp_path / "d.vmdk", sectors=4096)
    good, source = path.read_bytes(), random.Random(12)
    for _turn in range(300):
        data = bytearray(good)
        data[4 + source.randrange(28)] = source.randrange(256)
        data[4 * 512 + source.randrange(600)] = source.randrange(256)
        path.write_bytes(data)
        said(path)
