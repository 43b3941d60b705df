# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qcow2 images that must be refused for their tables: bombs, overlaps, entries that lead out of the file."""

from __future__ import annotations

import struct
from pathlib import Path

from ansible_collections.imageops.fleet.tests.corpus.catalogue import attack
from ansible_collections.imageops.fleet.tests.corpus.patches import (
    cut,
    l1_offset,
    l2_offset,
    patched,
    refcounts_offset,
    write,
)
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    create,
    fetch,
    qemu_img,
)

CLUSTER = 65536
COPIED, COMPRESSED = 1 << 63, 1 << 62


def _bomb(shop: Shop, entries: list[int]) -> Path:
    """An image of 8 TiB whose L1 entries all name one L2 table with these entries."""
    path = create(shop.folder / "image", "qcow2", "8T")
    table = cut(path, max(-(-path.stat().st_size // CLUSTER) * CLUSTER, l1_offset(path) + 16384 * 8)).stat().st_size
    write(path, l1_offset(path), struct.pack(">Q", table | COPIED) * 16384)
    write(path, table, struct.pack(f">{len(entries)}Q", *entries))
    return cut(path, table + 2 * CLUSTER)


@attack("qcow2", "shared-table", "an expansion bomb: 8 TiB from half a megabyte")
def qcow2_bomb_of_one_l2_table(shop: Shop) -> Path:
    return _bomb(shop, [0x80000 | COPIED] * 8192)


@attack("qcow2", "shared-table", "an expansion bomb of empty tables")
def qcow2_bomb_of_one_empty_l2_table(shop: Shop) -> Path:
    return _bomb(shop, [0] * 8192)


@attack("qcow2", "shared-table", "an expansion bomb")
def qcow2_one_cluster_for_all(shop: Shop) -> Path:
    path = shop.image("qcow2")
    cluster = max(fetch(path, l2_offset(path), ">48Q"))
    return write(path, l2_offset(path), struct.pack(">Q", cluster) * 8192)


@attack("qcow2", "shared-table", "an expansion bomb of compressed clusters")
def qcow2_one_compressed_cluster_for_all(shop: Shop) -> Path:
    path = shop.image("qcow2", compress=True)
    table = l2_offset(path)
    packed = next(one for one in struct.unpack(">48Q", path.read_bytes()[table : table + 384]) if one & COMPRESSED)
    return write(path, table, struct.pack(">Q", packed) * 48)


@attack("qcow2", "truncated", "QEMU delivers zeros for a lost cluster")
def qcow2_cluster_past_the_end(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, l2_offset(path), ">Q", 1 << 40 | COPIED)


@attack("qcow2", "truncated", "QEMU delivers zeros for a lost cluster")
def qcow2_cut_in_its_last_cluster(shop: Shop) -> Path:
    return cut(shop.image("qcow2"), -70000)


@attack("qcow2", "truncated", "QEMU delivers zeros for a lost cluster")
def qcow2_compressed_cut(shop: Shop) -> Path:
    return cut(shop.image("qcow2", compress=True), -5000)


@attack("qcow2", "truncated", "QEMU delivers zeros for a lost cluster")
def qcow2_zstd_cut(shop: Shop) -> Path:
    return cut(shop.image("qcow2", "compression_type=zstd", compress=True), -5000)


@attack("qcow2", "truncated", "CVE-2014-0143")
def qcow2_l2_table_past_the_end(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, l1_offset(path), ">Q", 1 << 40 | COPIED)


@attack("qcow2", "table-bounds", "CVE-2014-0143")
def qcow2_l2_table_unaligned(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, l1_offset(path), ">Q", l2_offset(path) + 512 | COPIED)


@attack("qcow2", "table-bounds", "CVE-2014-0143")
def qcow2_cluster_unaligned(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, l2_offset(path), ">Q", 0x50200 | COPIED)


@attack("qcow2", "table-overlap", "guest writes would reach the refcounts")
def qcow2_l2_table_is_the_refcount_table(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, l1_offset(path), ">Q", refcounts_offset(path) | COPIED)


@attack("qcow2", "table-overlap", "guest writes would reach the L1 table")
def qcow2_cluster_is_the_l1_table(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, l2_offset(path), ">Q", l1_offset(path) | COPIED)


@attack("qcow2", "table-overlap", "guest writes would reach the L2 table")
def qcow2_cluster_is_its_l2_table(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, l2_offset(path) + 8, ">Q", l2_offset(path) | COPIED)


@attack("qcow2", "table-overlap", "guest writes would reach the refcounts")
def qcow2_cluster_is_a_refcount_block(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, l2_offset(path), ">Q", fetch(path, refcounts_offset(path), ">Q")[0] | COPIED)


@attack("qcow2", "table-overlap", "CVE-2014-0147")
def qcow2_refcounts_are_the_l1_table(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, 48, ">Q", l1_offset(path))


@attack("qcow2", "truncated", "CVE-2014-0147")
def qcow2_refcount_block_past_the_end(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, refcounts_offset(path), ">Q", 1 << 40)


@attack("qcow2", "table-bounds", "CVE-2014-0147")
def qcow2_refcount_block_at_no_offset(shop: Shop) -> Path:
    path = shop.image("qcow2")
    return patched(path, refcounts_offset(path), ">Q", 1 << 62)


def _snapshots(shop: Shop, *names: str) -> tuple[Path, int]:
    path = shop.image("qcow2")
    for name in names or ("one",):
        qemu_img("snapshot", "-c", name, str(path))
    return path, int(fetch(path, 64, ">Q")[0])


@attack("qcow2", "absurd-size", "CVE-2014-0145")
def qcow2_snapshot_with_a_huge_l1_table(shop: Shop) -> Path:
    path, table = _snapshots(shop)
    return patched(path, table + 8, ">I", 0xFFFFFFFF)


@attack("qcow2", "truncated", "CVE-2014-0145")
def qcow2_snapshot_with_an_l1_table_past_the_end(shop: Shop) -> Path:
    path, table = _snapshots(shop)
    return patched(path, table, ">Q", 1 << 40)


@attack("qcow2", "table-bounds", "CVE-2014-0145")
def qcow2_snapshot_with_an_unaligned_l1_table(shop: Shop) -> Path:
    path, table = _snapshots(shop)
    return patched(path, table, ">Q", 0x50008)


@attack("qcow2", "absurd-size", "CVE-2014-0146")
def qcow2_snapshot_with_endless_extra_data(shop: Shop) -> Path:
    path, table = _snapshots(shop)
    return patched(path, table + 36, ">I", 0x7FFFFFFF)


@attack("qcow2", "absurd-size", "a thousand such names fill the memory")
def qcow2_snapshot_with_an_endless_name(shop: Shop) -> Path:
    path, table = _snapshots(shop)
    return patched(path, table + 12, ">HH", 0xFFFF, 0xFFFF)


@attack("qcow2", "truncated", "CVE-2014-0146")
def qcow2_snapshot_with_a_name_past_the_end(shop: Shop) -> Path:
    path, table = _snapshots(shop)
    return cut(patched(path, table + 12, ">HH", 1000, 1000), table + 1100)


@attack("qcow2", "table-overlap", "CVE-2014-0145: a snapshot's L1 table is the disk's own")
def qcow2_snapshot_shares_the_l1_table(shop: Shop) -> Path:
    path, table = _snapshots(shop)
    return patched(path, table, ">Q", l1_offset(path))


@attack("qcow2", "shared-table", "an expansion bomb in a snapshot")
def qcow2_bomb_in_a_snapshot(shop: Shop) -> Path:
    path = create(shop.folder / "image", "qcow2", "1G")
    qemu_img("snapshot", "-c", "one", str(path))
    table = fetch(path, 64, ">Q")[0]
    shared = -(-path.stat().st_size // CLUSTER) * CLUSTER
    write(path, fetch(path, table, ">Q")[0], struct.pack(">2Q", shared, shared))
    return write(cut(path, shared + 2 * CLUSTER), shared, struct.pack(">Q", shared + CLUSTER) * 8192)


def _bitmap(shop: Shop) -> tuple[Path, int]:
    """An image with a bitmap, and where its directory lies."""
    path = shop.image("qcow2")
    qemu_img("bitmap", "--add", str(path), "b")
    data = path.read_bytes()[:4096]
    place = data.index(struct.pack(">II", 0x23852875, 24)) + 8
    return path, int(struct.unpack_from(">Q", data, place + 16)[0])


@attack("qcow2", "absurd-size", "a bitmap that fills the memory")
def qcow2_bitmap_of_absurd_granularity(shop: Shop) -> Path:
    path, directory = _bitmap(shop)
    return patched(path, directory + 17, ">B", 200)


@attack("qcow2", "truncated", "CVE-2014-0144")
def qcow2_bitmap_table_past_the_end(shop: Shop) -> Path:
    path, directory = _bitmap(shop)
    return patched(path, directory, ">Q", 1 << 40)


@attack("qcow2", "table-overlap", "a guest's writes would be noted in the L1 table")
def qcow2_bitmap_table_is_the_l1_table(shop: Shop) -> Path:
    path, directory = _bitmap(shop)
    return patched(path, directory, ">Q", l1_offset(path))
