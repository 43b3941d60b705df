# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One export on its way: what its writers get."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

from .._formats.compress_pool import Report
from .._formats.gathered_writes import GatheredWrites
from .._formats.guest_content import GuestContent
from .._jobs.progress import Progress
from .._portable.presets import aligned
from .export_place import Made, new_file
from .export_request import ExportDisk, ExportRequest
from .inspection import Inspected
from .pacing import paced


@dataclass(frozen=True)
class OpenDisk:
    """A disk that is held: what its guest sees, and how it was inspected."""

    disk: ExportDisk
    content: GuestContent
    image: Inspected


@dataclass(frozen=True)
class Work:
    """`path` is the file or folder to write, `spare` a hidden name beside it, `lock` what every engine process inherits."""

    request: ExportRequest
    disks: Sequence[OpenDisk]
    path: str
    spare: str
    progress: Progress
    lock: int

    def begin(self, disk: OpenDisk) -> Report:
        """The phase in which a disk is written; what its writer tells how far it is."""
        self.progress.phase(f"write {disk.disk.name}", total=disk.content.size)
        return paced(self.progress, self.request.bandwidth, fault="export:while-writing")

    def size(self, disk: OpenDisk) -> int:
        """The bytes that the disk has in the export."""
        return aligned(disk.content.size, self.request.rules)

    def disk_file(self, number: int) -> str:
        """The name of a disk's file in a folder or an archive."""
        suffix = {"vhd-fixed": "vhd"}.get(self.request.format, self.request.format)
        return f"{self.request.base}-disk{number + 1}.{suffix}"

    def text(self, name: str, data: bytes) -> Made:
        """Write a small file into the folder."""
        with new_file(os.path.join(self.path, name)) as handle:
            os.write(handle, data)
        return Made(name, len(data), hashlib.sha256(data).hexdigest())


class Counted:
    """Bytes that go one after the other into a file, and are counted and hashed on the way."""

    def __init__(self, append: Callable[[bytes], None]) -> None:
        self._append = append
        self._state = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._state.update(data)
        self.size += len(data)
        self._append(data)

    @property
    def digest(self) -> str:
        """SHA-256 of all that came, in hexadecimal."""
        return self._state.hexdigest()


class Appended:
    """A file that is written from its beginning to its end; `close` makes it durable."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._file = GatheredWrites(handle)
        self._at = 0

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._file.write(data, self._at)
        self._at += len(data)

    def close(self) -> None:
        """Have all in the file, durably."""
        self._file.flush()
        os.fsync(self._handle)
