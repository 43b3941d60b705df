# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QED and LUKS images, raw disks and things that are no files, all of which must be refused."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

from ansible_collections.imageops.fleet.tests.corpus.catalogue import add_attack, attack
from ansible_collections.imageops.fleet.tests.corpus.patches import append, cut, patched, write
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import fetch

NUMBERS = "CVE-2014-0142 to 0147"
SECTOR = 512


def _fields() -> None:
    qed = (
        ("cluster-size-0", 4, "<I", 0, "malformed-header", NUMBERS),
        ("cluster-size-3000", 4, "<I", 3000, "malformed-header", NUMBERS),
        ("cluster-size-huge", 4, "<I", 1 << 31, "malformed-header", NUMBERS),
        ("table-size-0", 8, "<I", 0, "malformed-header", NUMBERS),
        ("table-size-1", 8, "<I", 1, "malformed-header", "qemu-img makes it and cannot open it"),
        ("table-size-huge", 8, "<I", 1 << 31, "malformed-header", NUMBERS),
        ("header-size-0", 12, "<I", 0, "malformed-header", NUMBERS),
        ("header-size-huge", 12, "<I", 0xFFFFFFFF, "malformed-header", NUMBERS),
        ("unknown-feature", 16, "<Q", 1 << 40, "unknown-feature", "the specification's rule"),
        ("l1-unaligned", 40, "<Q", 70000, "table-bounds", NUMBERS),
        ("l1-in-the-header", 40, "<Q", 0, "table-bounds", "guest writes would reach the header"),
        ("l1-past-the-end", 40, "<Q", 1 << 40, "truncated", NUMBERS),
        ("size-overflow", 48, "<Q", 1 << 63, "absurd-size", NUMBERS),
        ("size-of-half-a-sector", 48, "<Q", (3 << 20) - 256, "malformed-header", NUMBERS),
    )
    for name, offset, layout, value, rule, hole in qed:

        def make(shop: Shop, offset: int = offset, layout: str = layout, value: int = value) -> Path:
            return patched(shop.image("qed"), offset, layout, value)

        add_attack(f"qed-{name}", "qed", rule, hole, make)
    luks = (
        ("version-2-by-name-only", 6, ">H", 2, "malformed-header", "another format under the same magic"),
        ("version-9", 6, ">H", 9, "unsupported-variant", "a version of the future"),
        ("names-without-end", 8, "96s", b"a" * 96, "malformed-header", "CVE-2014-0144"),
        ("payload-past-the-end", 104, ">I", 0xFFFFFFFF, "truncated", NUMBERS),
        ("payload-in-the-header", 104, ">I", 1, "malformed-header", NUMBERS),
        ("detached", 104, ">I", 0, "unsupported-variant", "the disk lies in another file"),
        ("key-bytes-0", 108, ">I", 0, "malformed-header", NUMBERS),
        ("key-bytes-huge", 108, ">I", 0xFFFFFFFF, "malformed-header", NUMBERS),
        ("slot-state", 208, ">I", 7, "malformed-header", "QEMU's own rule"),
        ("stripes-huge", 252, ">I", 0xFFFFFFFF, "malformed-header", NUMBERS),
        ("key-material-in-the-header", 248, ">I", 0, "table-overlap", NUMBERS),
        ("key-material-in-the-payload", 248, ">I", 1 << 20, "table-overlap", NUMBERS),
        ("key-materials-on-each-other", 256, ">I32xI", None, "table-overlap", NUMBERS),
    )
    for name, offset, layout, value, rule, hole in luks:

        def make_luks(shop: Shop, offset: int = offset, layout: str = layout, value: object = value) -> Path:
            path = shop.encrypted("luks", "iter-time=10")
            if value is None:
                slot = fetch(path, 208, "48s")[0]
                return write(path, 256, slot)
            return patched(path, offset, layout, value)

        add_attack(f"luks-{name}", "luks", rule, hole, make_luks)


_fields()


def _qed_with_backing(shop: Shop, name: str, *, features: int) -> Path:
    path = shop.image("qed")
    write(path, 1024, name.encode())
    patched(path, 16, "<Q", features)
    return patched(path, 56, "<II", 1024, len(name.encode()))


@attack("qed", "backing-file", "CVE-2015-1850")
def qed_backing(shop: Shop) -> Path:
    return _qed_with_backing(shop, str(shop.canary), features=5)


@attack("qed", "backing-format-missing", "CVE-2026-24708")
def qed_backing_without_format(shop: Shop) -> Path:
    return _qed_with_backing(shop, str(shop.canary), features=1)


@attack("qed", "backing-protocol", "the host would connect out")
def qed_backing_nbd(shop: Shop) -> Path:
    return _qed_with_backing(shop, "nbd://127.0.0.1:1/disk", features=5)


@attack("qed", "table-bounds", "CVE-2014-0144")
def qed_backing_name_outside(shop: Shop) -> Path:
    path = _qed_with_backing(shop, "a", features=5)
    return patched(path, 56, "<II", 0xFFFFFFF0, 64)


@attack("qed", "shared-table", "an expansion bomb")
def qed_one_table_for_all(shop: Shop) -> Path:
    """With small clusters, so that the disk needs many tables."""
    path = shop.image("qed", "cluster_size=4k", "table_size=2", size=12 << 20)
    table = fetch(path, 40, "<Q")[0]
    return write(path, table, struct.pack("<Q", fetch(path, table, "<Q")[0]) * 3)


@attack("qed", "table-bounds", "guest writes would reach the header")
def qed_cluster_in_the_header(shop: Shop) -> Path:
    path = shop.image("qed", "cluster_size=4k")
    patched(path, 12, "<I", 2)
    table = fetch(path, fetch(path, 40, "<Q")[0], "<Q")[0]
    return patched(path, table, "<Q", 4096)


@attack("qed", "unsupported-variant", "aborts qemu-img: a run of clusters that counts 4 GiB")
def qed_table_of_512_gib(shop: Shop) -> Path:
    return patched(shop.image("qed", "cluster_size=1M"), 48, "<Q", 1 << 40)


@attack("qed", "truncated", "a download that was cut")
def qed_cut(shop: Shop) -> Path:
    return cut(shop.image("qed"), -70000)


@attack("raw", "second-signature", "CVE-2024-40767")
def qed_declared_raw(shop: Shop) -> Path:
    return _qed_with_backing(shop, str(shop.canary), features=5)


@attack("raw", "second-signature", "CVE-2024-40767")
def luks_declared_raw(shop: Shop) -> Path:
    return shop.encrypted("luks", "iter-time=10")


@attack("luks", "format-contradiction", "CVE-2024-40767")
def raw_declared_luks(shop: Shop) -> Path:
    return shop.image("raw")


@attack("qcow2", "format-contradiction", "CVE-2024-40767")
def raw_declared_qcow2(shop: Shop) -> Path:
    return shop.image("raw")


def _others() -> None:
    """Formats without a parser, as what they are and as raw disks; QEMU would find each of them."""
    starts = {
        "qcow": b"QFI\xfb\0\0\0\x01",
        "parallels": b"WithoutFreeSpace",
        "parallels-ext": b"WithouFreSpacExt",
        "bochs": b"Bochs Virtual HD Image",
        "cloop": b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop",
        "sesparse": b"\xbe\xba\xfe\xca" + bytes(4),
        "cowd": b"COWD",
        "vdi-signature": bytes(64) + b"\x7f\x10\xda\xbe",
    }
    for name, start in starts.items():

        def make(shop: Shop, start: bytes = start) -> Path:
            return shop.file(start, size=1 << 20)

        add_attack(f"{name}-declared-raw", "raw", "second-signature", "CVE-2024-40767, OSSA-2024-002", make)


_others()


@attack("raw", "second-signature", "CVE-2014-0145, and found by QEMU's probe only at the end")
def dmg_declared_raw(shop: Shop) -> Path:
    return append(shop.image("raw"), b"koly".ljust(512, b"\0"))


@attack("raw", "second-signature", "two formats at once")
def iso_and_qcow2(shop: Shop) -> Path:
    header = shop.image("qcow2", name="qcow2").read_bytes()[:512]
    return write(shop.file(header, size=1 << 20), 32769, b"CD001")


@attack("qcow2", "polyglot", "an ISO whose unused first sectors are a qcow2 image")
def iso_and_qcow2_declared_qcow2(shop: Shop) -> Path:
    return write(shop.image("qcow2"), 32769, b"CD001")


@attack("raw", "second-signature", "two formats at once")
def iso_and_vmdk_text(shop: Shop) -> Path:
    words = b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 8 FLAT "/etc/passwd" 0\n'
    return write(shop.file(words, size=1 << 20), 32769, b"CD001")


@attack("raw", "not-a-file", "a FIFO would hold the reader")
def a_fifo(shop: Shop) -> Path:
    os.mkfifo(shop.folder / "image")
    return shop.folder / "image"


@attack("raw", "not-a-file", "a folder is no disk")
def a_folder(shop: Shop) -> Path:
    return shop.folder


@attack("raw", "not-a-file", "CVE-2026-44919")
def a_character_device(shop: Shop) -> Path:
    return Path("/dev/zero")


@attack("raw", "not-a-file", "CVE-2026-44919")
def a_link_to_a_character_device(shop: Shop) -> Path:
    (shop.folder / "image").symlink_to("/dev/zero")
    return shop.folder / "image"


@attack("raw", "not-a-file", "a socket is no disk")
def a_socket(shop: Shop) -> Path:
    os.mknod(shop.folder / "image", stat.S_IFSOCK | 0o600)
    return shop.folder / "image"
