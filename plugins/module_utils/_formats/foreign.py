# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Formats that QEMU would find by probing but this collection does not handle: seen, named, refused."""

from __future__ import annotations

from .facts import Draft
from .reader import Malformed, Reader

SIGNATURES = {
    "qcow": b"QFI\xfb\0\0\0\x01",
    "parallels": b"WithoutFreeSpace",
    "parallels-ext": b"WithouFreSpacExt",
    "bochs": b"Bochs Virtual HD Image",
    "cloop": b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop",
}
DMG_MAGIC, DMG_FROM_END = b"koly", 512


def foreign_formats(image: Reader) -> list[str]:
    """The names of such formats whose signature the file has."""
    start = image.upto(0, 64)
    found = [name.replace("-ext", "") for name, magic in SIGNATURES.items() if start.startswith(magic)]
    return found + (["dmg"] if image.upto(image.size - DMG_FROM_END, 4) == DMG_MAGIC else [])


def parse(image: Reader, draft: Draft) -> None:
    """Only the name is known."""
    draft.virtual_size = image.size
    raise Malformed(
        "unsupported-format",
        f"The file is a {draft.format} image, which is not supported; convert it to qcow2 "
        "or raw on the host that made it.",
    )
