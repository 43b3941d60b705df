# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qcow2 images that must be refused for what their header says, or for the files that they name."""

from __future__ import annotations

import os
import shutil
import struct
from pathlib import Path

from ansible_collections.imageops.fleet.tests.corpus.catalogue import add_attack, attack
from ansible_collections.imageops.fleet.tests.corpus.patches import (
    DATA_FILE,
    append,
    cut,
    extension,
    patched,
    set_backing,
    set_extensions,
)
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop

NUMBERS = "CVE-2014-0142 to 0147"
# name, offset, layout, value, rule, what it stands for
FIELDS = (
    ("qcow2-version-1", 4, ">I", 1, "unsupported-format", "another format"),
    ("qcow2-version-4", 4, ">I", 4, "unsupported-variant", "a version of the future"),
    ("qcow2-cluster-bits-0", 20, ">I", 0, "malformed-header", NUMBERS),
    ("qcow2-cluster-bits-22", 20, ">I", 22, "malformed-header", NUMBERS),
    ("qcow2-cluster-bits-63", 20, ">I", 63, "malformed-header", NUMBERS),
    ("qcow2-size-beyond-all-disks", 24, ">Q", 1 << 63, "absurd-size", NUMBERS),
    ("qcow2-size-larger-than-its-l1-table", 24, ">Q", 1 << 40, "table-bounds", NUMBERS),
    ("qcow2-size-of-half-a-sector", 24, ">Q", (3 << 20) - 256, "malformed-header", "QEMU's own rule"),
    ("qcow2-unknown-encryption", 32, ">I", 3, "malformed-header", "QEMU's own rule"),
    ("qcow2-luks-without-header", 32, ">I", 2, "encryption-header", "crashes qemu-img"),
    ("qcow2-l1-entries-overflow", 36, ">I", 0xFFFFFFFF, "absurd-size", NUMBERS),
    ("qcow2-l1-of-32-gib", 36, ">I", 1 << 31, "absurd-size", NUMBERS),
    ("qcow2-l1-empty", 36, ">I", 0, "table-bounds", NUMBERS),
    ("qcow2-l1-past-the-end", 40, ">Q", 1 << 40, "truncated", NUMBERS),
    ("qcow2-l1-offset-overflow", 40, ">Q", (1 << 64) - 65536, "truncated", NUMBERS),
    ("qcow2-l1-unaligned", 40, ">Q", 0x30200, "table-bounds", NUMBERS),
    ("qcow2-l1-in-the-header", 40, ">Q", 0, "table-bounds", "guest writes would reach the header"),
    ("qcow2-refcounts-past-the-end", 48, ">Q", 1 << 40, "truncated", NUMBERS),
    ("qcow2-refcounts-unaligned", 48, ">Q", 0x10008, "table-bounds", NUMBERS),
    ("qcow2-refcounts-in-the-header", 48, ">Q", 0, "table-bounds", NUMBERS),
    ("qcow2-refcounts-overflow", 56, ">I", 0xFFFFFFFF, "absurd-size", NUMBERS),
    ("qcow2-refcounts-none", 56, ">I", 0, "malformed-header", NUMBERS),
    ("qcow2-65536-snapshots", 60, ">I", 65536, "too-many-snapshots", "a sample of KubeVirt CDI"),
    ("qcow2-snapshots-past-the-end", 60, ">IQ", (1, 1 << 40), "truncated", NUMBERS),
    ("qcow2-snapshots-unaligned", 60, ">IQ", (1, 0x20008), "table-bounds", NUMBERS),
    ("qcow2-no-snapshots-at-no-cluster", 64, ">Q", 0x20008, "table-bounds", "QEMU's own rule"),
    ("qcow2-unknown-feature", 72, ">Q", 1 << 5, "unknown-feature", "the specification's rule"),
    ("qcow2-unknown-feature-63", 72, ">Q", 1 << 63, "unknown-feature", "the specification's rule"),
    ("qcow2-marked-corrupt", 72, ">Q", 2, "corrupt", "the specification's rule"),
    ("qcow2-data-file-without-name", 72, ">Q", 4, "data-file", "CVE-2024-32498"),
    ("qcow2-compression-bit-alone", 72, ">Q", 8, "malformed-header", "QEMU's own rule"),
    ("qcow2-refcount-order-7", 96, ">I", 7, "malformed-header", NUMBERS),
    ("qcow2-refcount-order-overflow", 96, ">I", 0xFFFFFFFF, "malformed-header", NUMBERS),
    ("qcow2-header-length-0", 100, ">I", 0, "malformed-header", NUMBERS),
    ("qcow2-header-length-odd", 100, ">I", 107, "malformed-header", "QEMU's own rule"),
    ("qcow2-header-longer-than-a-cluster", 100, ">I", 0x10008, "malformed-header", NUMBERS),
    ("qcow2-header-length-overflow", 100, ">I", 0xFFFFFFF8, "malformed-header", NUMBERS),
    ("qcow2-unknown-compression", 104, ">B", 9, "malformed-header", "QEMU's own rule"),
    ("qcow2-backing-name-too-long", 8, ">QI", (4096, 1024), "table-bounds", "CVE-2014-0144"),
    ("qcow2-backing-name-overflow", 8, ">QI", (0xFFFFFFFFFFFFFFF0, 64), "table-bounds", "CVE-2014-0144"),
    ("qcow2-backing-name-outside", 8, ">QI", (65500, 100), "table-bounds", "CVE-2014-0144"),
)


def _of_field(offset: int, layout: str, value: object) -> object:
    values = value if isinstance(value, tuple) else (value,)
    return lambda shop: patched(shop.image("qcow2"), offset, layout, *values)


for _name, _offset, _layout, _value, _rule, _hole in FIELDS:
    add_attack(_name, "qcow2", _rule, _hole, _of_field(_offset, _layout, _value))  # type: ignore[arg-type]


@attack("qcow2", "malformed-header", "QEMU's own rule")
def qcow2_subclusters_of_16_bytes(shop: Shop) -> Path:
    return patched(shop.image("qcow2", "cluster_size=512"), 72, ">Q", 16)


@attack("qcow2", "truncated", "a header shorter than the detector's window")
def qcow2_header_only(shop: Shop) -> Path:
    return cut(shop.image("qcow2"), 80)


@attack("qcow2", "truncated", "a header shorter than the detector's window")
def qcow2_magic_only(shop: Shop) -> Path:
    return cut(shop.image("qcow2"), 4)


@attack("qcow2", "table-bounds", "an extension longer than its room")
def qcow2_extension_overflow(shop: Shop) -> Path:
    return patched(shop.image("qcow2"), 112, ">II", 0x12345678, 0xFFFFFFFF)


@attack("qcow2", "absurd-size", "extensions without end")
def qcow2_hundreds_of_extensions(shop: Shop) -> Path:
    return set_extensions(shop.image("qcow2"), extension(0x12345678, b"") * 500)


def _backings() -> None:
    names = (
        ("absolute", "{canary}", "raw", "backing-file", "CVE-2015-1850, CVE-2015-5163"),
        ("relative", "../secret.txt", "raw", "backing-file", "CVE-2015-1850"),
        ("without-format", "{canary}", None, "backing-format-missing", "CVE-2026-24708"),
        ("of-a-driver", "{canary}", "blkdebug", "backing-format-unknown", "a driver that is no format"),
        ("json", 'json:{{"driver":"file","filename":"{canary}"}}', "raw", "backing-protocol", "CVE-2024-4467"),
        ("file-protocol", "file:{canary}", "raw", "backing-protocol", "CVE-2024-4467"),
        ("nbd", "nbd://127.0.0.1:1/disk", "raw", "backing-protocol", "the host would connect out"),
        ("https", "https://127.0.0.1:1/disk", "raw", "backing-protocol", "the host would connect out"),
        ("ssh", "ssh://127.0.0.1:1/disk", "raw", "backing-protocol", "the host would connect out"),
        ("fat", "fat:rw:{folder}", "raw", "backing-protocol", "a folder of the host as a disk"),
        ("device", "/dev/zero", "raw", "not-a-file", "CVE-2026-44919"),
        ("proc", "/proc/self/environ", "raw", "backing-file", "CVE-2015-1850"),
        ("missing", "nothing", "raw", "backing-missing", "a chain that is not whole"),
        ("itself", "image", "qcow2", "chain-loop", "backing loops"),
        ("folder", "..", "raw", "not-a-file", "a folder is no disk"),
    )
    for name, words, form, rule, hole in names:
        for old in (False, True):

            def make(shop: Shop, words: str = words, form: str | None = form, old: bool = old) -> Path:
                told = words.format(canary=shop.canary, folder=shop.folder)
                return set_backing(shop.image("qcow2", *(["compat=0.10"] if old else [])), told, form)

            add_attack(f"qcow2-backing-{name}{'-version-2' if old else ''}", "qcow2", rule, hole, make)


_backings()


@attack("qcow2", "chain-loop", "backing loops")
def qcow2_backing_loop_of_two(shop: Shop) -> Path:
    set_backing(shop.image("qcow2", name="other"), "image", "qcow2")
    return set_backing(shop.image("qcow2"), "other", "qcow2")


@attack("qcow2", "chain-depth", "chains without end")
def qcow2_backing_300_deep(shop: Shop) -> Path:
    path = set_backing(shop.image("qcow2", size=1 << 20), "1", "qcow2")
    for number in range(1, 300):
        set_backing(Path(shutil.copy(path, shop.folder / str(number))), f"{number + 1}", "qcow2")
    return path


@attack("qcow2", "not-a-file", "a FIFO would hold the reader")
def qcow2_backing_fifo(shop: Shop) -> Path:
    os.mkfifo(shop.folder / "pipe")
    return set_backing(shop.image("qcow2"), "pipe")


def _with_data_file(path: Path, name: str, *, autoclear: int = 0) -> Path:
    set_extensions(path, extension(DATA_FILE, name.encode()))
    return patched(path, 72, ">QQQ", 4, 0, autoclear)


@attack("qcow2", "data-file", "CVE-2024-32498")
def qcow2_data_file(shop: Shop) -> Path:
    return _with_data_file(shop.image("qcow2"), str(shop.canary))


@attack("qcow2", "data-file", "CVE-2024-32498")
def qcow2_data_file_raw(shop: Shop) -> Path:
    return _with_data_file(shop.image("qcow2"), "../secret.txt", autoclear=2)


@attack("qcow2", "backing-protocol", "CVE-2024-4467")
def qcow2_data_file_json(shop: Shop) -> Path:
    return _with_data_file(shop.image("qcow2"), f'json:{{"driver":"raw","file.filename":"{shop.canary}"}}')


@attack("qcow2", "backing-protocol", "the host would connect out")
def qcow2_data_file_nbd(shop: Shop) -> Path:
    return _with_data_file(shop.image("qcow2"), "nbd://127.0.0.1:1/disk")


@attack("qcow2", "data-file", "CVE-2024-32498: the base of an overlay that is declared has a data file itself")
def qcow2_data_file_of_the_base(shop: Shop) -> Path:
    _with_data_file(shop.image("qcow2", name="base"), str(shop.canary))
    return set_backing(shop.image("qcow2"), "base", "qcow2")


@attack("raw", "second-signature", "CVE-2024-40767, OSSA-2024-002")
def qcow2_declared_raw(shop: Shop) -> Path:
    return set_backing(shop.image("qcow2"), str(shop.canary))


@attack("raw", "second-signature", "CVE-2026-24708: a guest writes a header into its own raw disk")
def qcow2_header_on_a_raw_disk(shop: Shop) -> Path:
    header = set_backing(shop.image("qcow2", name="header"), str(shop.canary)).read_bytes()
    return append(shop.file(header[:65536]), shop.disk(3 << 20).read_bytes())


@attack("vmdk", "format-contradiction", "CVE-2024-40767")
def qcow2_declared_vmdk(shop: Shop) -> Path:
    return shop.image("qcow2")


@attack("qcow2", "polyglot", "two formats at once")
def qcow2_with_boot_sector(shop: Shop) -> Path:
    return patched(shop.image("qcow2"), 510, "2s", b"\x55\xaa")


@attack("qcow2", "polyglot", "two formats at once")
def qcow2_with_iso(shop: Shop) -> Path:
    return patched(shop.image("qcow2"), 32769, "5s", b"CD001")


@attack("qcow2", "polyglot", "two formats at once")
def qcow2_with_vhd_footer(shop: Shop) -> Path:
    footer = shop.image("vhd", "subformat=fixed", name="vhd").read_bytes()[-512:]
    return append(shop.image("qcow2"), footer)


@attack("qcow2", "polyglot", "two formats at once")
def qcow2_with_vdi_signature(shop: Shop) -> Path:
    """The offset of a snapshot table that has no snapshots may be any number."""
    return patched(shop.image("qcow2"), 0x40, "4s", b"\x7f\x10\xda\xbe")


@attack("qcow2", "malformed-header", "CVE-2014-0144")
def qcow2_bitmaps_extension_too_short(shop: Shop) -> Path:
    path = set_extensions(shop.image("qcow2"), extension(0x23852875, bytes(8)))
    return patched(path, 88, ">Q", 1)


@attack("qcow2", "malformed-header", "QEMU's own rule")
def qcow2_bitmaps_reserved_field(shop: Shop) -> Path:
    told = struct.pack(">IIQQ", 1, 7, 64, 65536)
    return patched(set_extensions(shop.image("qcow2"), extension(0x23852875, told)), 88, ">Q", 1)


@attack("qcow2", "absurd-size", "a directory that fills the memory")
def qcow2_bitmaps_by_the_billion(shop: Shop) -> Path:
    told = struct.pack(">IIQQ", 0xFFFFFFFF, 0, 1 << 40, 65536)
    return patched(set_extensions(shop.image("qcow2"), extension(0x23852875, told)), 88, ">Q", 1)


@attack("qcow2", "truncated", "CVE-2014-0144")
def qcow2_luks_header_outside(shop: Shop) -> Path:
    told = struct.pack(">QQ", (1 << 64) - 4096, 4096)
    return patched(set_extensions(shop.image("qcow2"), extension(0x0537BE77, told)), 32, ">I", 2)
