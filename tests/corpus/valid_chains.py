# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Valid images of more than one file; the others have to be declared."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.imageops.fleet.tests.corpus.catalogue import Maker, valid
from ansible_collections.imageops.fleet.tests.corpus.patches import patched, write
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    convert,
    create,
    qemu_img,
    qemu_io,
)

MIB = 1 << 20


def overlay(form: str, *options: str, absolute: bool = False, size: str = "") -> Maker:
    """A qcow2 overlay with data over a base of that format."""

    def make(shop: Shop) -> Path:
        base, path = shop.image(form, name="base"), shop.folder / "image"
        name = str(base) if absolute else base.name
        words = [word for option in options for word in ("-o", option)]
        driver = "vpc" if form == "vhd" else form
        qemu_img("create", "-q", "-f", "qcow2", *words, "-b", name, "-F", driver, str(path), *([size] if size else []))
        qemu_io(path, "write 64k 64k")
        return path

    return make


def chain(length: int) -> Maker:
    """That many overlays on each other."""

    def make(shop: Shop) -> Path:
        shop.image("qcow2", name="0")
        for number in range(1, length + 1):
            create(shop.folder / str(number), "qcow2", "", backing=str(number - 1))
        return shop.folder / str(length)

    return make


for _form in ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed"):
    valid(f"qcow2 over {_form}", "qcow2", overlay(_form), backing=("base",))
valid("qcow2 over an absolute name", "qcow2", overlay("qcow2", absolute=True), backing=("base",))
valid("qcow2 version 2 over raw", "qcow2", overlay("raw", "compat=0.10"), backing=("base",))
valid("qcow2 with subclusters over qcow2", "qcow2", overlay("qcow2", "extended_l2=on"), backing=("base",))
valid("qcow2 larger than its base", "qcow2", overlay("qcow2", size="1G"), backing=("base",))
valid("qcow2 smaller than its base", "qcow2", overlay("qcow2", size="1M"), backing=("base",))
valid("qcow2 chain of 9", "qcow2", chain(8), backing=tuple(map(str, range(8))))
valid("qcow2 chain of 60", "qcow2", chain(59), backing=tuple(map(str, range(59))))


def data_file(*options: str) -> Maker:
    """Guest data in a file beside the image."""

    def make(shop: Shop) -> Path:
        path = shop.folder / "image"
        chosen = (f"data_file={shop.folder}/data", *options)
        return convert(shop.disk(3 * MIB), path, "qcow2", *chosen)

    return make


valid("qcow2 with data file", "qcow2", data_file(), backing=("data",))
valid("qcow2 with raw data file", "qcow2", data_file("data_file_raw=on"), backing=("data",))


def extents(subformat: str, size: int = 3 * MIB) -> Maker:
    """A descriptor and the files of its extents."""
    return lambda shop: convert(shop.disk(size), shop.folder / "disk.vmdk", "vmdk", f"subformat={subformat}")


valid("vmdk monolithicFlat", "vmdk", extents("monolithicFlat"), backing=("disk-flat.vmdk",))
valid("vmdk twoGbMaxExtentFlat", "vmdk", extents("twoGbMaxExtentFlat"), backing=("disk-f001.vmdk",))
valid("vmdk twoGbMaxExtentSparse", "vmdk", extents("twoGbMaxExtentSparse"), backing=("disk-s001.vmdk",))


def five_gib(shop: Shop) -> Path:
    """Three files of two GiB at most."""
    return create(shop.folder / "disk.vmdk", "vmdk", "5G", "subformat=twoGbMaxExtentSparse")


valid("vmdk of three files", "vmdk", five_gib, backing=("disk-s001.vmdk", "disk-s002.vmdk", "disk-s003.vmdk"))


def qed_over_raw(shop: Shop) -> Path:
    """QED records of a base only that it is raw."""
    path = write(shop.image("qed"), 1024, shop.image("raw", name="base").name.encode())
    patched(path, 16, "<Q", 5)
    return patched(path, 56, "<II", 1024, 4)


valid("qed over raw", "qed", qed_over_raw, backing=("base",))
