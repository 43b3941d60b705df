# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Valid images: every subformat and option of qemu-img's, sizes that fit no cluster, and what only others write."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

from ansible_collections.imageops.fleet.tests.corpus.catalogue import Maker, valid
from ansible_collections.imageops.fleet.tests.corpus.patches import append, cut, patched, set_extensions, write
from ansible_collections.imageops.fleet.tests.corpus.patches import extension as header_extension
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats import written
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    create,
    qemu_img,
    qemu_io,
)

MIB = 1 << 20
# Every option of qemu-img's, each by itself.
OPTIONS = {
    "qcow2": (
        "compat=0.10",
        "compat=1.1",
        "cluster_size=512",
        "cluster_size=4k",
        "cluster_size=2M",
        "extended_l2=on",
        "extended_l2=on cluster_size=16k",
        "extended_l2=on cluster_size=2M",
        "lazy_refcounts=on",
        *(f"refcount_bits={1 << order}" for order in range(7)),
        "preallocation=metadata",
        "preallocation=falloc",
        "preallocation=full",
    ),
    "vmdk": (
        "subformat=monolithicSparse",
        "compat6=on",
        "zeroed_grain=on",
        "adapter_type=lsilogic",
        "adapter_type=buslogic",
        "hwversion=13",
        "subformat=streamOptimized",
    ),
    "vhd": ("subformat=dynamic", "subformat=fixed", "force_size=on", "subformat=fixed force_size=on"),
    "vhdx": (
        "subformat=dynamic",
        "subformat=fixed",
        "block_size=1M",
        "block_size=256M",
        "log_size=4M",
        "block_state_zero=off",
    ),
    "vdi": ("static=off", "static=on"),
    "qed": ("cluster_size=4k", "cluster_size=64k", "cluster_size=1M", "table_size=2", "cluster_size=4k table_size=16"),
}
PACKED = ("cluster_size=512", "cluster_size=64k", "cluster_size=2M", "compat=0.10", "compression_type=zstd")
# Large and empty ones, whose tables are the largest; sizes that fill no cluster, grain or block.
LARGE = {"qcow2": "8T", "vmdk": "2T", "vhd": "2000G", "vhdx": "10T", "vdi": "2T", "qed": "1T", "raw": "8T"}
ODD = {
    "qcow2": 3 * MIB + 512,
    "vmdk": 3 * MIB + 512,
    "vhd": 3 * MIB + 512,
    "vhdx": 3 * MIB + 512,
    "vdi": 3 * MIB + 512,
    "qed": 3 * MIB + 512,
    "raw": MIB + 1,
}
# Cipher, mode, hash and bytes of the key in a LUKS header; deriving a key for each would take seconds.
CIPHERS = (
    ("aes", "xts-plain64", "sha256", 64),
    ("aes", "cbc-essiv:sha256", "sha1", 16),
    ("aes", "cbc-plain", "ripemd160", 32),
    ("serpent", "xts-plain64", "sha512", 64),
    ("twofish", "cbc-plain64", "sha512", 32),
    ("cast5", "cbc-plain64", "sha256", 16),
)


def image(form: str, *options: str, size: int = 3 * MIB, compress: bool = False) -> Maker:
    """Converted from a raw disk with data in every MiB."""
    return lambda shop: shop.image(form, *options, size=size, compress=compress)


def empty(form: str, size: str, *options: str) -> Maker:
    """Made by qemu-img create."""
    return lambda shop: create(shop.folder / "image", form, size, *options)


def encrypted(form: str, *options: str) -> Maker:
    """Made by qemu-img create with a secret."""
    return lambda shop: shop.encrypted(form, *options)


def luks(cipher: str, mode: str, hashed: str, key: int) -> Maker:
    """With these words in its header."""

    def make(shop: Shop) -> Path:
        path = shop.encrypted("luks", "iter-time=10")
        patched(path, 8, "32s32s32s", cipher.encode(), mode.encode(), hashed.encode())
        return patched(path, 108, ">I", key)

    return make


def _by_option() -> None:
    for form, choices in OPTIONS.items():
        for words in choices:
            valid(f"{form} {words}", form, image(form, *words.split()))
    for words in PACKED:
        valid(f"qcow2 packed {words}", "qcow2", image("qcow2", words, compress=True))
    for form, size in LARGE.items():
        valid(f"{form} empty {size}", form, empty(form, size))
    for form, length in ODD.items():
        valid(f"{form} odd size", form, image(form, size=length))
    for cipher in CIPHERS:
        valid(f"luks {' '.join(map(str, cipher))}", "luks", luks(*cipher))


_by_option()


def snapshots(*names: str, compat: str = "1.1") -> Maker:
    """With internal snapshots, and other guest data after each."""

    def make(shop: Shop) -> Path:
        path = shop.image("qcow2", f"compat={compat}")
        for number, name in enumerate(names):
            qemu_img("snapshot", "-c", name, str(path))
            qemu_io(path, f"write {number * 65536} 64k")
        return path

    return make


def bitmaps(*options: str) -> Maker:
    """With persistent dirty bitmaps, each with these options."""

    def make(shop: Shop) -> Path:
        path = shop.image("qcow2")
        for number, words in enumerate(options):
            qemu_img("bitmap", "--add", *words.split(), str(path), f"bitmap {number}")
        return path

    return make


def grown(shop: Shop) -> Path:
    """A snapshot remembers the disk when it was smaller."""
    path = shop.image("qcow2")
    qemu_img("snapshot", "-c", "small", str(path))
    qemu_img("resize", "-q", "-f", "qcow2", str(path), "1G")
    return path


def unknown_extension(shop: Shop) -> Path:
    """A reader may pass over what it doesn't know."""
    return set_extensions(shop.image("qcow2"), header_extension(0x12345678, b"something"))


def own_qcow2(shop: Shop) -> Path:
    """As our own writer makes it."""
    written.qcow2(shop.disk(3 * MIB), shop.folder / "image")
    return shop.folder / "image"


def own_vmdk(shop: Shop) -> Path:
    """As our own writer makes it."""
    written.vmdk(shop.disk(3 * MIB), shop.folder / "image")
    return shop.folder / "image"


valid("qcow2 empty 0", "qcow2", empty("qcow2", "0"))
valid("qcow2 one snapshot", "qcow2", snapshots("one"))
valid("qcow2 three snapshots", "qcow2", snapshots("one", "two", "three"))
valid("qcow2 snapshot version 2", "qcow2", snapshots("one", compat="0.10"))
valid("qcow2 snapshot of a smaller disk", "qcow2", grown)
valid("qcow2 bitmap", "qcow2", bitmaps(""))
valid("qcow2 bitmaps", "qcow2", bitmaps("", "-g 1M", "--disable"))
valid("qcow2 luks", "qcow2", encrypted("qcow2", "encrypt.format=luks", "encrypt.iter-time=10"))
valid("qcow2 aes", "qcow2", encrypted("qcow2", "encrypt.format=aes"))
valid("qcow2 unknown extension", "qcow2", unknown_extension)
valid("qcow2 unknown compatible feature", "qcow2", lambda shop: patched(shop.image("qcow2"), 80, ">Q", 1 << 40))
valid("qcow2 not closed", "qcow2", lambda shop: patched(shop.image("qcow2", "lazy_refcounts=on"), 72, ">Q", 1))
valid("qcow2 end not padded", "qcow2", lambda shop: cut(shop.image("qcow2", size=ODD["qcow2"]), -60000))
valid("qcow2 our own", "qcow2", own_qcow2)
valid("vmdk our own", "vmdk", own_vmdk)
valid("vmdk end not closed", "vmdk", lambda shop: patched(shop.image("vmdk"), 72, "<B", 1))
valid("luks odd size", "luks", lambda shop: append(shop.encrypted("luks", "iter-time=10"), b"more"))
valid("qed not closed", "qed", lambda shop: patched(shop.image("qed"), 16, "<Q", 2))


def mbr(shop: Shop) -> Path:
    """A boot record with one partition."""
    row = struct.pack("<B3xB3xII", 0x80, 0x83, 2048, 4096)
    return patched(write(shop.image("raw"), 446, row.ljust(64, b"\0")), 510, "2s", b"\x55\xaa")


def gpt(shop: Shop) -> Path:
    """A protective boot record, and a header with its checksum."""
    path = mbr(shop)
    patched(path, 446, "<B3sB3sII", 0, b"\0\2\0", 0xEE, b"\xff\xff\xff", 1, 6143)
    entries = bytes(128 * 128)
    header = struct.pack(
        "<8sIIIIQQQQ16sQIII",
        b"EFI PART",
        65536,
        92,
        0,
        0,
        1,
        6143,
        34,
        6110,
        b"g" * 16,
        2,
        128,
        128,
        zlib.crc32(entries),
    )
    signed = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
    return write(write(path, 512, signed.ljust(512, b"\0")), 1024, entries)


def iso(shop: Shop) -> Path:
    """A primary descriptor and the end."""
    path = shop.file(b"", size=MIB)
    primary = b"\x01CD001\x01".ljust(40, b"\0") + b"A DISC".ljust(40) + struct.pack("<I", 512)
    write(path, 32768, primary.ljust(128, b"\0") + struct.pack("<H", 2048))
    return write(path, 34816, b"\xffCD001\x01")


def noise(shop: Shop) -> Path:
    """As of a disk whose guest encrypts it."""
    return shop.file(random.Random(1).randbytes(MIB))


valid("raw", "raw", image("raw"))
valid("raw one sector", "raw", lambda shop: shop.file(b"", size=512))
valid("raw empty", "raw", lambda shop: shop.file(b""))
valid("raw mbr", "raw", mbr)
valid("raw gpt", "raw", gpt)
valid("raw iso", "raw", iso)
valid("raw noise", "raw", noise)
valid("raw tar", "raw", lambda shop: write(shop.file(b"", size=10240), 257, b"ustar"))
valid("raw gzip", "raw", lambda shop: shop.file(b"\x1f\x8b\x08", size=10240))
valid("raw guest that says conectix", "raw", lambda shop: append(shop.image("raw"), b"conectix".rjust(512, b" ")))
