# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk with a bad end: a file that lies on it can be read up to a place, and gives I/O errors from there on.

The disk is a loop device on a file that becomes too short. The file that goes bad keeps its path, by a bind mount.
"""

from __future__ import annotations

import os
import re
import shutil

from processes import run

_BLOCK = 4096


class BadDisk:
    """`path` is bad from `part` (0 to 1) of its length on, until `end`."""

    def __init__(self, folder: str, path: str, part: float) -> None:
        self._image, self._mount, self._path = f"{folder}.img", folder, path
        size = os.path.getsize(path)
        os.makedirs(folder, exist_ok=True)
        with open(self._image, "wb") as stream:
            stream.truncate(size + (16 << 20))
        run("mkfs.ext4", "-q", "-b", str(_BLOCK), "-O", "^has_journal", "-E", "lazy_itable_init=0", self._image)
        name = f"{folder}/{os.path.basename(path)}"
        run("mount", "-o", "loop", self._image, folder)
        shutil.copyfile(path, name)
        run("umount", folder)
        place = self._place(os.path.basename(path), int(size * part) // _BLOCK)
        run("mount", "-o", "loop", self._image, folder)
        os.truncate(self._image, place * _BLOCK)
        run("mount", "--bind", name, path)

    def _place(self, name: str, block: int) -> int:
        """Where on the disk a block of a file is."""
        said = run("debugfs", "-R", f"bmap {name} {block}", self._image).stdout
        found = re.search(r"^(\d+)", said.strip(), re.MULTILINE)
        if not found or found[1] == "0":
            raise RuntimeError(f"block {block} of {name} has no place: {said}")
        return int(found[1])

    def end(self) -> None:
        """Give the path back to the file that was there."""
        run("umount", self._path, check=False)
        run("umount", self._mount, check=False)
        os.unlink(self._image)
