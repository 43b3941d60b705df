# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
import tracemalloc
from array import array
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    convert,
    create,
    disk,
    fetch,
    look,
    patch,
    qemu_info,
    refused,
    rules,
)

SINGLE = ["monolithicSparse", "streamOptimized"]
SPLIT = ["monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"]
DESCRIPTOR = b"""# Disk DescriptorFile
version=1
CID=fffffffe
parentCID=%s
createType="%s"
%s
ddb.adapterType = "ide"
"""


def descriptor(path: Path, extents: str, *, kind: str = "monolithicFlat", parent: str = "ffffffff") -> Path:
    path.write_bytes(DESCRIPTOR % (parent.encode(), kind.encode(), extents.encode()))
    return path


@pytest.fixture(name="image")
def image_fixture(tmp_path: Path) -> Path:
    return convert(disk(tmp_path / "a.raw", 3 * MIB), tmp_path / "a.vmdk", "vmdk")


@pytest.mark.parametrize("size", ["512", "1536", "1M", "3G", "100G"])
@pytest.mark.parametrize("subformat", SINGLE)
def test_single_files_are_read_as_qemu_reads_them(tmp_path: Path, subformat: str, size: str) -> None:
    path = create(tmp_path / "a.vmdk", "vmdk", size, f"subformat={subformat},adapter_type=lsilogic")
    facts = look(path)
    assert (facts.format, facts.variant, facts.virtual_size) == (
        "vmdk",
        subformat,
        qemu_info(path, "vmdk")["virtual-size"],
    )
    assert (facts.header["adapter_type"], facts.findings) == ("lsilogic", ())


@pytest.mark.parametrize("size", [3 * MIB, 2 * MIB + 512, 5 * MIB + 1536])
@pytest.mark.parametrize("subformat", SINGLE)
def test_images_with_data_have_no_findings(tmp_path: Path, subformat: str, size: int) -> None:
    path = convert(disk(tmp_path / "a.raw", size), tmp_path / "a.vmdk", "vmdk", f"subformat={subformat}")
    facts = look(path, "vmdk")
    assert (facts.findings, facts.compression) == ((), "deflate" if subformat == "streamOptimized" else None)


@pytest.mark.parametrize("subformat", SPLIT)
def test_extents_in_other_files_are_listed_and_unsafe(tmp_path: Path, subformat: str) -> None:
    path = create(tmp_path / "a.vmdk", "vmdk", "3G", f"subformat={subformat}")
    facts = look(path)
    assert (facts.variant, facts.virtual_size, refused(facts)) == (subformat, 3 << 30, {"extent-file"})
    assert all((tmp_path / str(extent.name)).exists() for extent in facts.extents)


@pytest.mark.parametrize(
    "extents",
    [
        'RW 2048 FLAT "/etc/shadow" 0',
        'RW 2048 SPARSE "/etc/shadow"',
        'RW 2048 VMFS "/etc/shadow"',
        'RW 2048 FLAT "json:{}" 0',
        'RW 2048 FLAT "../shadow" 0',
        'RW 2048 FLAT ".." 0',
        'RW 2048 FLAT "nbd:unix:x" 0',
    ],
)
def test_a_descriptor_that_names_a_file_elsewhere_is_unsafe(tmp_path: Path, extents: str) -> None:
    facts = look(descriptor(tmp_path / "a.vmdk", extents))
    assert (refused(facts), facts.references, facts.findings[0].file) == ({"extent-file"}, (), None)


@pytest.mark.parametrize(
    ("extents", "rule"),
    [
        ("RW 2048 ZERO", "unsupported-variant"),
        ('RDONLY 2048 FLAT "x" 0', "unsupported-variant"),
        ('NOACCESS 2048 SPARSE "x"', "unsupported-variant"),
        ('RW 2048 SESPARSE "x"', "unsupported-variant"),
        ('RW 2048 VMFSRDM "x"', "unsupported-variant"),
        ('RW 2048 SPARSE "x" 4', "malformed-header"),
        ('RW 0 FLAT "x" 0', "malformed-header"),
        ('RW\n2048\nFLAT\n"/etc/shadow"\n0', "malformed-header"),
        ('RW 2048 SPARSE "x', "malformed-header"),
        (f'RW 2048 SPARSE "{"x" * 600}"', "malformed-header"),
        ('\nRW 2048 FLAT "x" 0', "malformed-header"),
    ],
)
def test_extent_lines_that_readers_read_in_different_ways_are_refused(tmp_path: Path, extents: str, rule: str) -> None:
    facts = look(descriptor(tmp_path / "a.vmdk", extents))
    assert rule in refused(facts)
    assert not [one for one in facts.references if "/" in one.name]


@pytest.mark.parametrize(
    "kind", ["fullDevice", "partitionedDevice", "vmfsRaw", "custom", "seSparse", "monolithicSparse"]
)
def test_types_that_are_not_read_are_named(tmp_path: Path, kind: str) -> None:
    facts = look(descriptor(tmp_path / "a.vmdk", 'RW 2048 FLAT "x" 0', kind=kind))
    assert "unsupported-variant" in refused(facts)
    assert any(kind in found.message for found in facts.findings)


def test_a_descriptor_without_extents_is_malformed(tmp_path: Path) -> None:
    assert refused(look(descriptor(tmp_path / "a.vmdk", ""))) == {"malformed-header"}


def test_a_descriptor_with_many_extents_is_absurd(tmp_path: Path) -> None:
    path = descriptor(tmp_path / "a.vmdk", "\n".join(f'RW 8 FLAT "x" {number}' for number in range(5000)))
    assert "absurd-size" in refused(look(path))


@pytest.mark.parametrize("head", [b"version=1\n", b"# x\n\n  \nversion=3\n", b"# disk descriptorfile\nversion=1\n"])
def test_every_text_that_qemu_takes_for_vmdk_is_seen(tmp_path: Path, head: bytes) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes((head + b'RW 2048 FLAT "/etc/shadow" 0\n').ljust(4096, b"\0"))
    assert refused(look(path)) == {"extent-file", "unsupported-variant"}
    assert refused(look(path, "raw")) == {"second-signature"}


def test_a_parent_is_a_backing_file(tmp_path: Path) -> None:
    extents = 'parentFileNameHint="/etc/shadow"\nRW 2048 SPARSE "x.vmdk"'
    facts = look(descriptor(tmp_path / "a.vmdk", extents, parent="12345678"))
    assert facts.backing is not None and (facts.backing.name, facts.backing.format) == ("/etc/shadow", "vmdk")
    assert refused(facts) == {"backing-file", "extent-file"}


@pytest.mark.parametrize(
    ("magic", "rule"), [(b"COWD", "malformed-header"), (b"\xbe\xba\xfe\xca\0\0\0\0", "unsupported-variant")]
)
def test_extents_of_esx_are_recognised(tmp_path: Path, magic: bytes, rule: str) -> None:
    path = tmp_path / "a.vmdk"
    path.write_bytes(magic.ljust(4096, b"\1"))
    facts = look(path)
    assert (facts.format, refused(facts)) == ("vmdk", {rule})


def test_a_parent_in_a_comment_is_seen_as_qemu_sees_it(image: Path) -> None:
    rewrite_descriptor(image, b"# Extent description", b'#parentFileNameHint="s"')
    data = image.read_bytes()
    image.write_bytes(data.replace(b'#parentFileNameHint="s"', b'#parentFileNameHint="s"\n', 1)[: len(data)])
    assert "backing-protocol" in refused(look(image))


def test_a_parent_outside_the_descriptor_is_seen_as_qemu_sees_it(image: Path) -> None:
    text = image.read_bytes()[512 : 512 + 20 * 512]
    with image.open("ab") as stream:
        stream.truncate(-(-image.stat().st_size // 512) * 512)
    at = image.stat().st_size
    with image.open("r+b") as stream:
        stream.seek(at)
        stream.write(text)
        stream.seek(512)
        stream.write(b'CID=1\nparentCID=2\nparentFileNameHint="/etc/shadow"\n'.ljust(len(text), b"\0"))
    patch(image, 28, "<Q", at // 512)
    assert qemu_backing(image) == "/etc/shadow"
    assert "backing-protocol" in refused(look(image))


def qemu_backing(path: Path) -> str:
    """The parent that QEMU found, opened or not."""
    done = subprocess.run(["qemu-img", "info", "-f", "vmdk", str(path)], capture_output=True, text=True, check=False)
    return next(line.split(": ", 1)[1] for line in done.stdout.splitlines() if line.startswith("backing file:"))


def test_a_type_in_a_comment_decides_for_qemu(tmp_path: Path) -> None:
    path = descriptor(tmp_path / "a.vmdk", 'RW 2048 FLAT "x" 0')
    path.write_bytes(path.read_bytes().replace(b"version=1\n", b'version=1\n#createType="vmfsSparse"\n', 1))
    assert "header-mismatch" in refused(look(path))


def test_guest_data_on_the_tables_are_refused(image: Path) -> None:
    (sector,) = fetch(image, 56, "<Q")
    (table,) = fetch(image, sector * 512, "<I")
    patch(image, table * 512, "<I", 1)
    assert "table-overlap" not in refused(look(image)), "1 is a grain of zeros"
    patch(image, table * 512, "<I", 2)
    assert "table-overlap" in refused(look(image))


def test_redundant_tables_that_differ_are_a_warning(image: Path) -> None:
    (spare,) = fetch(image, 48, "<Q")
    (table,) = fetch(image, spare * 512, "<I")
    patch(image, table * 512 + 4, "<I", 999)
    assert (rules(look(image)), refused(look(image))) == ({"unclean"}, set())


OPTIONS = ["zeroed_grain=on", "compat6=on", "toolsversion=12345", "hwversion=21", "adapter_type=legacyESX"]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_qemu_is_lawful(tmp_path: Path, option: str) -> None:
    path = convert(disk(tmp_path / "a.raw", 3 * MIB), tmp_path / "a.vmdk", "vmdk", option)
    facts = look(path)
    assert (facts.findings, facts.virtual_size) == ((), qemu_info(path, "vmdk")["virtual-size"])
    assert facts.header["zeroed_grain"] is (option == "zeroed_grain=on")


def rewrite_descriptor(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(old, new.ljust(len(old), b" "), 1))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (b'6144 SPARSE "a.vmdk"', b'6144 FLAT "/etc/g" 0', {"extent-file"}),
        (b"RW 6144 SPARSE", b"RW 9144 SPARSE", {"header-mismatch"}),
        (b"monolithicSparse", b"monolithicFlat", {"unsupported-variant"}),
        (b"parentCID=ffffffff", b"parentCID=12345678", {"backing-file"}),
    ],
)
def test_attacks_in_the_embedded_descriptor(image: Path, old: bytes, new: bytes, expected: set[str]) -> None:
    rewrite_descriptor(image, old, new)
    assert refused(look(image)) == expected


HEADER_ATTACKS: list[tuple[str, int, str, tuple[Any, ...], set[str]]] = [
    ("version 9", 4, "<I", (9,), {"malformed-header"}),
    ("capacity 0: the descriptor decides", 12, "<Q", (0,), {"header-mismatch"}),
    ("capacity of 8 EiB", 12, "<Q", (1 << 54,), {"absurd-size"}),
    ("grain 0", 20, "<Q", (0,), {"malformed-header"}),
    ("grain not a power of two", 20, "<Q", (100,), {"malformed-header"}),
    ("grain of 1 EiB", 20, "<Q", (1 << 51,), {"malformed-header"}),
    ("descriptor past the end", 28, "<Q", (1 << 40,), {"truncated"}),
    ("descriptor of 1 TiB", 36, "<Q", (1 << 31,), {"absurd-size"}),
    ("no entries in a grain table", 44, "<I", (0,), {"malformed-header"}),
    ("huge grain tables", 44, "<I", (0xFFFFFFFF,), {"malformed-header"}),
    ("redundant directory past the end", 48, "<Q", (1 << 40,), {"truncated"}),
    ("directory past the end", 56, "<Q", (1 << 40,), {"truncated"}),
    ("footer announced, none there", 56, "<Q", ((1 << 64) - 1,), {"truncated"}),
    ("metadata past the end", 64, "<Q", (1 << 40,), {"truncated"}),
    ("text transfer", 73, "<4s", (b"\n \n\n",), {"malformed-header"}),
    ("unknown compression", 77, "<H", (7,), {"malformed-header"}),
]


@pytest.mark.parametrize(
    ("what", "offset", "layout", "values", "expected"), HEADER_ATTACKS, ids=[a[0] for a in HEADER_ATTACKS]
)
def test_header_attacks_are_refused(
    image: Path, what: str, offset: int, layout: str, values: tuple[Any, ...], expected: set[str]
) -> None:
    patch(image, offset, layout, *values)
    assert refused(look(image)) >= expected, what


def with_footer(path: Path, capacity: int) -> Path:
    """A stream as VMware writes it: the directory's place is only in the footer."""
    header = bytearray(path.read_bytes()[:512])
    patch(path, 56, "<Q", (1 << 64) - 1)
    header[12:20] = capacity.to_bytes(8, "little")
    with path.open("ab") as stream:
        stream.write(b"\1\0\0\0\0\0\0\0\0\0\0\0\3\0\0\0".ljust(512, b"\0") + header + bytes(512))
    return path


def test_a_footer_is_read(tmp_path: Path) -> None:
    path = convert(disk(tmp_path / "a.raw", 3 * MIB), tmp_path / "a.vmdk", "vmdk", "subformat=streamOptimized")
    assert look(with_footer(path, 6144)).findings == ()
    assert qemu_info(path, "vmdk")["virtual-size"] == look(path).virtual_size


def test_header_and_footer_must_agree(tmp_path: Path) -> None:
    path = convert(disk(tmp_path / "a.raw", 3 * MIB), tmp_path / "a.vmdk", "vmdk", "subformat=streamOptimized")
    assert "header-mismatch" in refused(look(with_footer(path, 6145)))


@pytest.mark.parametrize("subformat", SINGLE)
def test_the_last_grain_must_be_there(tmp_path: Path, subformat: str) -> None:
    path = convert(disk(tmp_path / "a.raw", 3 * MIB), tmp_path / "a.vmdk", "vmdk", f"subformat={subformat}")
    data = path.read_bytes().rstrip(b"\0")
    path.write_bytes(data[:-2])
    assert refused(look(path)) == {"truncated"}


def test_a_shared_grain_table_is_a_bomb(tmp_path: Path) -> None:
    path = convert(disk(tmp_path / "a.raw", 80 * MIB), tmp_path / "a.vmdk", "vmdk")
    (sector,) = fetch(path, 56, "<Q")
    (table,) = fetch(path, sector * 512, "<I")
    patch(path, sector * 512, "<3I", table, table, table)
    assert "shared-table" in refused(look(path))


@pytest.mark.parametrize(
    ("tables", "step", "size", "expected"),
    [
        (8 << 20, 4, 3 << 30, {"absurd-size"}),
        (2 << 20, 1, 3 << 30, {"shared-table"}),
        (2 << 20, 4, 8 << 30, set()),
        (100000, 4, 1 << 27, {"truncated"}),
    ],
    ids=["more than any disk has", "more than the file holds", "64 TiB at most", "cut"],
)
def test_a_large_grain_directory_takes_little_memory(
    tmp_path: Path, tables: int, step: int, size: int, expected: set[str]
) -> None:
    path = create(tmp_path / "a.vmdk", "vmdk", "1M")
    patch(path, 8, "<IQQQQIQQQ", 1, tables * 512 - 1, 1, 0, 0, 512, 0, 128, 128)
    with path.open("r+b") as stream:
        stream.truncate(65536)
        stream.seek(65536)
        stream.write(array("I", range(32768, 32768 + step * min(tables, 2 << 20), step)).tobytes())
        stream.truncate(size)
    tracemalloc.start()
    facts = look(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (refused(facts), peak < 32 * MIB) == (expected, True), peak >> 20


def test_a_shared_grain_is_a_bomb(image: Path) -> None:
    (sector,) = fetch(image, 56, "<Q")
    (table,) = fetch(image, sector * 512, "<I")
    grain = max(fetch(image, table * 512, "<512I"))
    patch(image, table * 512, "<512I", *[grain] * 512)
    assert "shared-table" in refused(look(image))


def test_an_unclean_image_is_a_warning(image: Path) -> None:
    patch(image, 72, "<B", 1)
    assert (rules(look(image)), refused(look(image))) == ({"unclean"}, set())
