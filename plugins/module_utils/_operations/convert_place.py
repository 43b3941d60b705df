# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The third and the last phase of a conversion: where the image is written, and how it gets its name and record."""

from __future__ import annotations

import os
from typing import Any, Protocol

from .._errors import Conflict
from .._faults import fault_point
from .._files import partial_path, remove
from .._jobs.progress import Progress
from .._qemu.node import is_block_device
from .._qemu.options import several_files
from .._records import Record, publish_with_record
from .convert_destination import require_same_destination
from .convert_device import open_exclusively
from .convert_extents import SplitPlace
from .device_mark import identity, mark_finished, mark_unfinished
from .extent_files import note, recorded_extents, tidy
from .ownership import apply_to_new
from .replacing import replacing


class Place(Protocol):
    """Where the new image is written: `path` is what the engine writes, `existing` when that keeps its size."""

    path: str
    existing: bool

    def prepare(self, progress: Progress) -> None:
        """Make the place ready for an engine."""

    def beside(self) -> list[str]:
        """Other files that hold data of the new image."""

    def publish(self, record: Record) -> None:
        """Let the finished image be what `dest` names, with its record."""

    def discard(self) -> None:
        """Leave nothing unfinished that isn't marked as such; after `publish` nothing is left to do."""


class FilePlace:
    """A file: written under its hidden name, then renamed."""

    existing = False

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        self._dest: str = params["dest"]
        self.path = partial_path(self._dest)

    def prepare(self, progress: Progress) -> None:
        """Throw away what an earlier run left, and make an empty file that nobody else reads."""
        progress.leaves(self.path)
        remove(self.path)
        tidy(self._dest)
        if recorded_extents(self._dest):
            note(self._dest)
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))

    def beside(self) -> list[str]:
        return []

    def publish(self, record: Record) -> None:
        """Give the image owner, mode, record and name; raises Conflict when somebody else changed `dest`."""
        params = self._params
        apply_to_new(self.path, owner=params["owner"], group=params["group"], mode=params["mode"])
        fault_point("convert:before-publish")
        with replacing(self._dest, params["dest_before"], search_paths=params["search_paths"]):
            require_same_destination(params)
            publish_with_record(self.path, self._dest, record)
        fault_point("convert:after-publish")
        # An image of several files that was replaced leaves its extents to nobody.
        tidy(self._dest)

    def discard(self) -> None:
        remove(self.path)


class DevicePlace:
    """A block device: written in place, so its mark says "unfinished" before the first byte is written."""

    existing = True

    def __init__(self, params: dict[str, Any]) -> None:
        self._expected = params["dest_before"]
        self.path: str = params["dest"]
        self._handle = -1

    def prepare(self, progress: Progress) -> None:
        """Hold the device for us alone; raises Conflict when it isn't the one that the task looked at."""
        self._handle = open_exclusively(self.path)
        if identity(self.path) != self._expected:
            raise Conflict(f"dest: {self.path} is another device than a moment ago; it was left as it is.")
        fault_point("convert:before-mark")
        mark_unfinished(self.path)

    def beside(self) -> list[str]:
        return []

    def publish(self, record: Record) -> None:
        """Flush the device and let its mark tell what is on it."""
        fault_point("convert:before-publish")
        os.fsync(self._handle)
        self.discard()
        mark_finished(self.path, record)
        fault_point("convert:after-publish")

    def discard(self) -> None:
        """Let go of the device; unless it was published its mark stays "unfinished"."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def place_of(params: dict[str, Any]) -> Place:
    """Where the image that the job's `params` describe is written."""
    if is_block_device(params["dest"]):
        return DevicePlace(params)
    return SplitPlace(params) if several_files(params["options"]) else FilePlace(params)
