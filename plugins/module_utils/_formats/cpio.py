# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cpio archive of an initial RAM file system (Linux' Documentation/driver-api/early-userspace/buffer-format.rst, "newc")."""

from __future__ import annotations

from collections.abc import Mapping

_MAGIC = b"070701"
_END = "TRAILER!!!"
_REGULAR = 0o100000
# Archives follow each other at multiples of 4; whole sectors are that, too.
ALIGNMENT = 512


def newc(files: Mapping[str, bytes], *, mode: int = 0o600) -> bytes:
    """An archive with `files` of root's; the kernel unpacks it over what archives before it held."""
    parts = [
        _entry(number, name, _REGULAR | mode, data) for number, (name, data) in enumerate(sorted(files.items()), 1)
    ]
    return padded(b"".join([*parts, _entry(len(files) + 1, _END, 0, b"")]), ALIGNMENT)


def padded(data: bytes, size: int) -> bytes:
    """`data` with zeros behind it up to a multiple of `size`."""
    return data + bytes(-len(data) % size)


def _entry(number: int, name: str, mode: int, data: bytes) -> bytes:
    # Inode, mode, user, group, links, time, size, four device numbers, length of the name, an unused checksum.
    text = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(text), 0)
    head = _MAGIC + b"".join(b"%08X" % field for field in fields)
    return padded(head + text, 4) + padded(data, 4)
