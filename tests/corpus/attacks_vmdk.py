# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMDK images that must be refused."""

from __future__ import annotations

import os
import struct
from array import array
from pathlib import Path

from ansible_collections.imageops.fleet.tests.corpus.catalogue import add_attack, attack
from ansible_collections.imageops.fleet.tests.corpus.patches import cut, patched, write
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats import written
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import create, fetch

SECTOR = 512
DESCRIPTOR = """# Disk DescriptorFile
version=1
CID=12345678
parentCID=ffffffff
createType="{kind}"

# Extent description
{extents}

ddb.adapterType = "ide"
"""
HOLE = "CVE-2022-47951, OSSA-2023-002"
# name, type, extent lines, rule, what it stands for
DESCRIPTORS = (
    ("flat", "monolithicFlat", 'RW 8 FLAT "{canary}" 0', "extent-file", HOLE),
    ("flat-relative", "monolithicFlat", 'RW 8 FLAT "../secret.txt" 0', "extent-file", HOLE),
    ("flat-beside", "monolithicFlat", 'RW 8 FLAT "link" 0', "extent-file", HOLE),
    ("vmfs", "vmfs", 'RW 8 VMFS "{canary}"', "extent-file", HOLE),
    ("device", "fullDevice", 'RW 8 FLAT "/dev/zero" 0', "extent-file", HOLE),
    ("second-extent", "twoGbMaxExtentFlat", 'RW 8 ZERO\nRW 8 FLAT "{canary}" 0', "extent-file", HOLE),
    ("read-only-extent", "monolithicFlat", 'RDONLY 8 FLAT "{canary}" 0', "unsupported-variant", HOLE),
    ("nbd", "monolithicFlat", 'RW 8 FLAT "nbd://127.0.0.1:1/x" 0', "extent-file", "the host would connect out"),
    ("json", "monolithicFlat", 'RW 8 FLAT "json:{{}}" 0', "extent-file", "CVE-2024-4467"),
    ("backslash", "monolithicFlat", 'RW 8 FLAT "..\\\\secret.txt" 0', "extent-file", HOLE),
    ("size-overflow", "monolithicFlat", 'RW 9999999999999999999 FLAT "{canary}" 0', "absurd-size", HOLE),
    ("no-extent", "monolithicFlat", "", "malformed-header", "a disk of nothing"),
    ("nonsense", "monolithicFlat", "RW many FLAT there", "malformed-header", "a line that readers take differently"),
    ("5000-extents", "twoGbMaxExtentFlat", '\nRW 8 FLAT "a" 0' * 5000, "absurd-size", "extents without end"),
    ("custom", "custom", 'RW 8 FLAT "{canary}" 0', "unsupported-variant", HOLE),
)


def _text(shop: Shop, kind: str, extents: str) -> bytes:
    return DESCRIPTOR.format(kind=kind, extents=extents.format(canary=shop.canary)).encode()


def _descriptors() -> None:
    for name, kind, extents, rule, hole in DESCRIPTORS:

        def make(shop: Shop, kind: str = kind, extents: str = extents) -> Path:
            (shop.folder / "link").symlink_to(shop.canary)
            return shop.file(_text(shop, kind, extents))

        add_attack(f"vmdk-text-{name}", "vmdk", rule, hole, make)


_descriptors()

# name, offset, layout, value, rule
FIELDS = (
    ("version-9", 4, "<I", 9, "malformed-header"),
    ("capacity-overflow", 12, "<Q", 1 << 63, "absurd-size"),
    ("capacity-0", 12, "<Q", 0, "header-mismatch"),
    ("grain-size-0", 20, "<Q", 0, "malformed-header"),
    ("grain-size-no-power-of-two", 20, "<Q", 100, "malformed-header"),
    ("grain-size-huge", 20, "<Q", 1 << 40, "malformed-header"),
    ("descriptor-past-the-end", 28, "<Q", 1 << 40, "truncated"),
    ("descriptor-offset-overflow", 28, "<Q", (1 << 64) - 1, "truncated"),
    ("descriptor-huge", 36, "<Q", 1 << 40, "absurd-size"),
    ("grain-tables-huge", 44, "<I", 1 << 31, "malformed-header"),
    ("grain-tables-empty", 44, "<I", 0, "malformed-header"),
    ("redundant-directory-past-the-end", 48, "<Q", 1 << 40, "truncated"),
    ("directory-past-the-end", 56, "<Q", 1 << 40, "truncated"),
    ("footer-that-is-not-there", 56, "<Q", (1 << 64) - 1, "truncated"),
    ("metadata-past-the-end", 64, "<Q", 1 << 40, "truncated"),
    ("broken-line-ends", 73, "4s", b"\n \n\n", "malformed-header"),
    ("unknown-compression", 77, "<H", 7, "malformed-header"),
)


def _fields() -> None:
    for name, offset, layout, value, rule in FIELDS:

        def make(shop: Shop, offset: int = offset, layout: str = layout, value: object = value) -> Path:
            return patched(shop.image("vmdk"), offset, layout, value)

        add_attack(f"vmdk-{name}", "vmdk", rule, "CVE-2014-0142 to 0147", make)


_fields()


def _sparse(shop: Shop, old: bytes, new: bytes) -> Path:
    """A sparse image with other words in its descriptor."""
    path = shop.image("vmdk")
    words = path.read_bytes()[SECTOR : 21 * SECTOR].rstrip(b"\0")
    assert old in words, words
    return write(path, SECTOR, words.replace(old, new, 1).ljust(20 * SECTOR, b"\0"))


@attack("vmdk", "extent-file", "CVE-2022-47951")
def vmdk_sparse_with_a_flat_extent(shop: Shop) -> Path:
    return _sparse(shop, b"\nRW 6144 SPARSE", b'\nRW 6144 FLAT "' + bytes(shop.canary) + b'" 0\n#')


@attack("vmdk", "extent-file", "CVE-2022-47951")
def vmdk_sparse_with_a_second_extent(shop: Shop) -> Path:
    return _sparse(shop, b"\nRW 6144 SPARSE", b'\nRW 8 FLAT "' + bytes(shop.canary) + b'" 0\nRW 6144 SPARSE')


@attack("vmdk", "unsupported-variant", "CVE-2022-47951, with a type that the header contradicts")
def vmdk_sparse_that_says_flat(shop: Shop) -> Path:
    return _sparse(shop, b'createType="monolithicSparse"', b'createType="monolithicFlat"')


@attack("vmdk", "header-mismatch", "readers see disks of two sizes")
def vmdk_sparse_of_two_sizes(shop: Shop) -> Path:
    return _sparse(shop, b"RW 6144 ", b"RW 6145 ")


@attack("vmdk", "backing-file", "CVE-2015-1850")
def vmdk_parent(shop: Shop) -> Path:
    hint = b'\nparentFileNameHint="' + bytes(shop.canary) + b'"\n'
    return _sparse(shop, b"parentCID=ffffffff", b"parentCID=00000001" + hint)


@attack("vmdk", "backing-file", "CVE-2015-1850")
def vmdk_parent_without_a_name(shop: Shop) -> Path:
    return _sparse(shop, b"parentCID=ffffffff", b"parentCID=00000001")


@attack("vmdk", "backing-protocol", "a parent that only QEMU's own reader finds")
def vmdk_parent_hidden_in_a_comment(shop: Shop) -> Path:
    hint = b'# parentFileNameHint="' + bytes(shop.canary) + b'"\n'
    return _sparse(shop, b"# Extent description", hint + b"# Extent description")


@attack("vmdk", "backing-protocol", "a parent that only QEMU's own reader finds")
def vmdk_parent_where_no_descriptor_is(shop: Shop) -> Path:
    """The header puts the descriptor elsewhere; QEMU looks behind the header all the same."""
    path = shop.image("vmdk")
    data = path.read_bytes()
    words = data[SECTOR : 21 * SECTOR]
    write(path, SECTOR, f'parentFileNameHint="{shop.canary}"\n'.encode().ljust(20 * SECTOR, b"\0"))
    end = -(-len(data) // SECTOR)
    patched(path, 28, "<Q", end)
    with path.open("ab") as stream:
        stream.write(words.rjust(end * SECTOR - len(data) + len(words), b"\0"))
    return path


@attack("raw", "second-signature", "CVE-2024-40767: a descriptor that was declared raw")
def vmdk_text_declared_raw(shop: Shop) -> Path:
    return shop.file(_text(shop, "monolithicFlat", 'RW 8 FLAT "{canary}" 0'))


@attack("raw", "second-signature", "CVE-2024-40767: QEMU's probe skips comments and empty lines")
def vmdk_text_in_disguise_declared_raw(shop: Shop) -> Path:
    words = _text(shop, "monolithicFlat", 'RW 8 FLAT "{canary}" 0').replace(b"# Disk DescriptorFile\n", b"")
    return shop.file(b"\n \n# a note\n" + words, size=1 << 20)


@attack("raw", "second-signature", "CVE-2024-40767")
def vmdk_sparse_declared_raw(shop: Shop) -> Path:
    return shop.image("vmdk")


@attack("vmdk", "polyglot", "two formats at once")
def vmdk_text_and_iso(shop: Shop) -> Path:
    return write(shop.file(_text(shop, "monolithicFlat", 'RW 8 FLAT "a" 0'), size=65536), 32769, b"CD001")


@attack("vmdk", "shared-table", "an expansion bomb")
def vmdk_bomb_of_one_grain_table(shop: Shop) -> Path:
    path = create(shop.folder / "image", "vmdk", "8G")
    directory = fetch(path, 56, "<Q")[0] * SECTOR
    first = fetch(path, directory, "<I")[0]
    return write(path, directory, struct.pack("<I", first) * 256)


def _directory(shop: Shop, tables: int) -> Path:
    """A sparse extent of 3 GiB, all holes but for a directory of that many tables."""
    path = shop.file(shop.image("vmdk", name="header").read_bytes()[:SECTOR], size=3 << 30)
    patched(path, 8, "<IQQQQIQQQ", 1, tables * 512 - 1, 1, 0, 0, 512, 0, 128, 128)
    return write(path, 65536, array("I", range(1 << 20, (1 << 20) + min(tables, 2 << 20))).tobytes())


@attack("vmdk", "absurd-size", "a directory that fills the memory: found by fuzzing")
def vmdk_8_million_grain_tables(shop: Shop) -> Path:
    return _directory(shop, 8 << 20)


@attack("vmdk", "shared-table", "a directory that fills the memory: found by fuzzing")
def vmdk_2_million_grain_tables(shop: Shop) -> Path:
    return _directory(shop, 2 << 20)


@attack("vmdk", "shared-table", "an expansion bomb")
def vmdk_one_grain_for_all(shop: Shop) -> Path:
    path = shop.image("vmdk")
    table = fetch(path, fetch(path, 56, "<Q")[0] * SECTOR, "<I")[0] * SECTOR
    grain = max(fetch(path, table, "<48I"))
    return write(path, table, struct.pack("<I", grain) * 48)


@attack("vmdk", "table-overlap", "guest writes would reach the tables")
def vmdk_grain_on_the_descriptor(shop: Shop) -> Path:
    path = shop.image("vmdk")
    table = fetch(path, fetch(path, 56, "<Q")[0] * SECTOR, "<I")[0] * SECTOR
    return patched(path, table, "<I", 1 + 1)


@attack("vmdk", "truncated", "QEMU delivers zeros for a lost grain")
def vmdk_grain_past_the_end(shop: Shop) -> Path:
    path = shop.image("vmdk")
    table = fetch(path, fetch(path, 56, "<Q")[0] * SECTOR, "<I")[0] * SECTOR
    return patched(path, table, "<I", 0x7FFFFFFF)


@attack("vmdk", "truncated", "a download that was cut")
def vmdk_cut(shop: Shop) -> Path:
    return cut(shop.image("vmdk"), -40000)


@attack("vmdk", "truncated", "a download that was cut")
def vmdk_stream_cut(shop: Shop) -> Path:
    """QEMU leaves zeros behind the last grain."""
    path = shop.image("vmdk", "subformat=streamOptimized")
    return cut(path, len(path.read_bytes().rstrip(b"\0")) - 1000)


def _stream(shop: Shop) -> Path:
    """A stream with a footer, which qemu-img doesn't write."""
    written.vmdk(shop.disk(3 << 20), shop.folder / "image")
    return shop.folder / "image"


@attack("vmdk", "truncated", "a download that was cut")
def vmdk_stream_without_its_footer(shop: Shop) -> Path:
    return cut(_stream(shop), -512)


@attack("vmdk", "header-mismatch", "header and footer of a stream disagree")
def vmdk_stream_with_another_footer(shop: Shop) -> Path:
    return patched(_stream(shop), -1024 + 12, "<Q", 1 << 30)


@attack("vmdk", "unsupported-variant", "a form that nobody publishes")
def vmdk_sesparse(shop: Shop) -> Path:
    return shop.file(b"\xbe\xba\xfe\xca" + bytes(4), size=1 << 20)


@attack("vmdk", "table-bounds", "CVE-2014-0142 to 0147")
def vmdk_cowd_with_a_small_directory(shop: Shop) -> Path:
    return shop.file(struct.pack("<4sIIIIIII", b"COWD", 1, 3, 1 << 30, 1, 4, 1, 8), size=1 << 20)


@attack("vmdk", "malformed-header", "CVE-2014-0142: a division by zero")
def vmdk_cowd_with_empty_grains(shop: Shop) -> Path:
    return shop.file(struct.pack("<4sIIIIIII", b"COWD", 1, 3, 2048, 0, 4, 1, 8), size=1 << 20)


@attack("vmdk", "extent-file", "CVE-2022-47951: an extent that is a link out of the folder")
def vmdk_extent_that_is_a_link(shop: Shop) -> Path:
    os.symlink(shop.canary, shop.folder / "image-flat.vmdk")
    return shop.file(_text(shop, "monolithicFlat", 'RW 8 FLAT "image-flat.vmdk" 0'))
