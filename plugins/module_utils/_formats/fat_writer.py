# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a FAT32 file system with a few files in it (Microsoft's FAT specification 1.03), for the partition that UEFI starts from.

Names are of the old kind, eight letters and three. Times are fixed, so the same files give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import BinaryIO

_SECTOR = 512
_RESERVED = 32
_LEAST_CLUSTERS = 65525
_END = 0x0FFFFFFF
_FOLDER, _FILE = 0x10, 0x20
# 2026-01-01.
_DATE = (2026 - 1980) << 9 | 1 << 5 | 1
_ENTRY = "<11sBBBHHHHHHHI"


def write_fat(stream: BinaryIO, *, at: int, size: int, serial: int, label: str, files: Mapping[str, bytes]) -> None:
    """Write the file system to the `size` bytes from `at` on, which read as zeros; `files` are contents by path, such as EFI/BOOT/X.EFI."""
    _Fat(size, serial, label).write(stream, at, files)


class _Fat:
    """One sector is one cluster, so that a small partition has as many clusters as FAT32 must have."""

    def __init__(self, size: int, serial: int, label: str) -> None:
        self._sectors = size // _SECTOR
        self._fat_sectors = (self._sectors - _RESERVED) // (_SECTOR // 4) + 1
        self._data = _RESERVED + 2 * self._fat_sectors
        if self._sectors - self._data < _LEAST_CLUSTERS:
            raise ValueError("a FAT32 file system needs more room")
        self._serial, self._label = serial, label.encode("ascii").ljust(11)
        self._chain: list[int] = [0x0FFFFFF8, _END]
        self._clusters: dict[int, bytes] = {}

    def write(self, stream: BinaryIO, at: int, files: Mapping[str, bytes]) -> None:
        # The root's first cluster is the first one; a folder of ours has less entries than a sector holds.
        root = self._take(b"")
        tree: dict[str, int] = {"": root}
        entries: dict[str, bytes] = {"": _entry(self._label, 0x08, 0, 0)}
        for path, content in sorted(files.items()):
            folder = self._folder(path.rpartition("/")[0], tree, entries)
            entries[folder] += _entry(_short(path.rpartition("/")[2]), _FILE, self._take(content), len(content))
        for name, data in entries.items():
            self._clusters[tree[name]] = data.ljust(_SECTOR, b"\0")
        table = struct.pack(f"<{len(self._chain)}I", *self._chain)
        for where, data in (
            (0, self._boot_sector()),
            (1, self._info()),
            (6, self._boot_sector()),
            (7, self._info()),
            (_RESERVED, table),
            (_RESERVED + self._fat_sectors, table),
            *((self._data + number - 2, data) for number, data in self._clusters.items()),
        ):
            stream.seek(at + where * _SECTOR)
            stream.write(data)

    def _folder(self, path: str, tree: dict[str, int], entries: dict[str, bytes]) -> str:
        if path not in tree:
            above = self._folder(path.rpartition("/")[0], tree, entries)
            tree[path] = self._take(b"")
            entries[above] += _entry(_short(path.rpartition("/")[2]), _FOLDER, tree[path], 0)
            up = 0 if above == "" else tree[above]
            entries[path] = _entry(b".".ljust(11), _FOLDER, tree[path], 0) + _entry(b"..".ljust(11), _FOLDER, up, 0)
        return path

    def _take(self, content: bytes) -> int:
        """Put `content` into clusters one after the other; the number of the first."""
        first, count = len(self._chain), max(1, -(-len(content) // _SECTOR))
        for number in range(count):
            self._chain.append(first + number + 1 if number + 1 < count else _END)
            self._clusters[first + number] = content[number * _SECTOR : (number + 1) * _SECTOR]
        return first

    def _boot_sector(self) -> bytes:
        head = struct.pack(
            "<3s8sHBHBHHBHHHIIIHHIHH12xBBBI11s8s",
            b"\xeb\x58\x90", b"IMAGEOPS", _SECTOR, 1, _RESERVED, 2, 0, 0, 0xF8, 0, 63, 255, 0, self._sectors,
            self._fat_sectors, 0, 0, 2, 1, 6, 0x80, 0, 0x29, self._serial, self._label, b"FAT32   ",
        )  # fmt: skip
        return head.ljust(510, b"\0") + b"\x55\xaa"

    def _info(self) -> bytes:
        free = self._sectors - self._data - (len(self._chain) - 2)
        return struct.pack("<I480xIII12xI", 0x41615252, 0x61417272, free, len(self._chain), 0xAA550000)


def _short(name: str) -> bytes:
    stem, _dot, end = name.upper().partition(".")
    if not 0 < len(stem) <= 8 or len(end) > 3:
        raise ValueError(f"{name} is no name of eight letters and three")
    return stem.encode("ascii").ljust(8) + end.encode("ascii").ljust(3)


def _entry(name: bytes, kind: int, cluster: int, size: int) -> bytes:
    return struct.pack(_ENTRY, name, kind, 0, 0, 0, _DATE, _DATE, cluster >> 16, 0, _DATE, cluster & 0xFFFF, size)
