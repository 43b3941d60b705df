# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that dies from a place on: what lies there can neither be read nor written, until it is well again.

The disk is a loop device on a file in memory. While it is bad, that file ends early and is sealed against growth, so that the
kernel itself gives the I/O errors, to whoever writes back as to whoever reads.
"""

from __future__ import annotations

import fcntl
import os
import re

from processes import run

_BLOCK = 4096
_MEBIBYTES = 112
_PIECE = 1 << 20


class DyingDisk:
    """An empty file system on such a disk, mounted at `folder` until `end`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._whole = _memory(_MEBIBYTES << 20)
        self._bad = -1
        # One group of blocks: what the file system keeps for itself is at the beginning, which never dies.
        options = ("-b", str(_BLOCK), "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=0")
        run("mkfs.ext4", "-q", *options, _path(self._whole))
        self._mount(self._whole)

    def die(self, block: int) -> None:
        """From this block of the disk on."""
        run("umount", self._folder)
        self._bad = _memory(_MEBIBYTES << 20)
        _copy(self._whole, self._bad, block * _BLOCK)
        self._mount(self._bad)
        # The device keeps its size.
        os.ftruncate(self._bad, block * _BLOCK)
        fcntl.fcntl(self._bad, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW)

    def heal(self) -> None:
        """What could be written is there, and what lay where nothing could be written is what it was."""
        if self._bad >= 0:
            run("umount", self._folder)
            _copy(self._bad, self._whole, os.fstat(self._bad).st_size)
            os.close(self._bad)
            self._bad = -1
            self._mount(self._whole)

    def end(self) -> None:
        run("umount", self._folder, check=False)
        for handle in (self._whole, self._bad):
            if handle >= 0:
                os.close(handle)

    def block_of(self, path: str, part: float) -> int:
        """The block of the disk that holds what is at `part` (0 to 1) of a file, or the next one behind it that is no hole."""
        run("sync", "--file-system", self._folder)
        name, count = os.path.relpath(path, self._folder), -(-os.path.getsize(path) // _BLOCK)
        for block in range(int(count * part), count):
            said = self._debugged(f"bmap {name} {block}")
            if (found := re.search(r"^(\d+)", said.strip(), re.MULTILINE)) and found[1] != "0":
                return int(found[1])
        raise RuntimeError(f"{path} has no block from {part} on")

    def first_free(self, mebibytes: int) -> int:
        """So much behind the last block that something has taken."""
        run("sync", "--file-system", self._folder)
        said = run("dumpe2fs", self._device()).stdout
        return (
            int(re.findall(r"^  Free blocks: (?:.*[ ,])?(\d+)-\d+$", said, re.MULTILINE)[-1])
            + (mebibytes << 20) // _BLOCK
        )

    def _debugged(self, command: str) -> str:
        return run("debugfs", "-R", command, self._device()).stdout

    def _device(self) -> str:
        return run("findmnt", "-n", "-o", "SOURCE", "--mountpoint", self._folder).stdout.split()[-1]

    def _mount(self, handle: int) -> None:
        device = run("losetup", "--find", "--show", _path(handle)).stdout.strip()
        try:
            run("mount", device, self._folder)
        finally:
            # It stays for as long as it is mounted.
            run("losetup", "--detach", device)


def _memory(size: int) -> int:
    handle = os.memfd_create("imageops-rounds", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(handle, size)
    return handle


def _path(handle: int) -> str:
    return f"/proc/{os.getpid()}/fd/{handle}"


def _copy(source: int, target: int, length: int) -> None:
    """The first `length` bytes; pieces that are equal need no memory."""
    for place in range(0, length, _PIECE):
        piece = os.pread(source, min(_PIECE, length - place), place)
        if piece != os.pread(target, len(piece), place):
            os.pwrite(target, piece, place)
