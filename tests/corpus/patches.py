# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Places in images, and patches that several attacks are made of."""

from __future__ import annotations

import struct
from pathlib import Path

from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import fetch, patch

BACKING_FORMAT, DATA_FILE, BITMAPS, LUKS = 0xE2792ACA, 0x44415441, 0x23852875, 0x0537BE77
BOOT_MARK = b"\x55\xaa"


def extension(kind: int, data: bytes) -> bytes:
    """A qcow2 header extension, padded."""
    return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)


def set_extensions(path: Path, *extensions: bytes, backing: str | None = None) -> Path:
    """Give a qcow2 image these extensions in place of its own, and a backing name behind them."""
    start = 72 if fetch(path, 4, ">I") == (2,) else fetch(path, 100, ">I")[0]
    data = b"".join(extensions) + bytes(8)
    write(path, start, data)
    if backing is not None:
        name = backing.encode()
        write(path, start + len(data), name)
        patch(path, 8, ">QI", start + len(data), len(name))
    return path


def set_backing(path: Path, name: str, form: str | None = "raw") -> Path:
    """Let a qcow2 image read another file."""
    recorded = [extension(BACKING_FORMAT, form.encode())] if form else []
    return set_extensions(path, *recorded, backing=name)


def write(path: Path, offset: int, data: bytes) -> Path:
    """Overwrite bytes."""
    patch(path, offset, f"{len(data)}s", data)
    return path


def patched(path: Path, offset: int, layout: str, *values: object) -> Path:
    """Overwrite fields."""
    patch(path, offset, layout, *values)
    return path


def append(path: Path, data: bytes) -> Path:
    """Put bytes behind the end."""
    with path.open("ab") as stream:
        stream.write(data)
    return path


def cut(path: Path, length: int) -> Path:
    """Keep only the first bytes; a negative length is what is taken away."""
    with path.open("r+b") as stream:
        stream.truncate(length if length >= 0 else path.stat().st_size + length)
    return path


def l1_offset(path: Path) -> int:
    return int(fetch(path, 40, ">Q")[0])


def refcounts_offset(path: Path) -> int:
    return int(fetch(path, 48, ">Q")[0])


def l2_offset(path: Path) -> int:
    """Where the first L2 table lies."""
    return int(fetch(path, l1_offset(path), ">Q")[0]) & 0x00FFFFFFFFFFFE00
