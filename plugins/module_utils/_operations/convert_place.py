# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The third and the last phase of a conversion: where the image is written, and how it gets its name and record."""

from __future__ import annotations

import os
from typing import Any

from .._errors import Conflict
from .._faults import fault_point
from .._files import fingerprint, partial_path, remove
from .._qemu.image_locks import kept_from_engines
from .._records import Record, publish_with_record
from .ownership import apply_to_new


class FilePlace:
    """A file: written under its hidden name, then renamed. `path` is what the engine writes."""

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        self._dest: str = params["dest"]
        self.path = partial_path(self._dest)

    def prepare(self) -> None:
        """Throw away what an earlier run left, and make an empty file that nobody else reads."""
        remove(self.path)
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))

    def publish(self, record: Record) -> None:
        """Give the finished image owner, mode, record and name; raises Conflict when somebody else changed `dest`."""
        params = self._params
        apply_to_new(self.path, owner=params["owner"], group=params["group"], mode=params["mode"])
        fault_point("convert:before-publish")
        with kept_from_engines(self._dest):
            self._require_same_destination()
            publish_with_record(self.path, self._dest, record)

    def discard(self) -> None:
        """Remove what is unfinished; nothing is there after `publish`."""
        remove(self.path)

    def _require_same_destination(self) -> None:
        found = fingerprint(self._dest)
        if (found.as_dict() if found else None) != self._params["dest_before"]:
            raise Conflict(
                f"dest: {self._dest} was changed by somebody else during the conversion; it was left as it is now."
            )


def place_of(params: dict[str, Any]) -> FilePlace:
    """Where the image that the job's `params` describe is written."""
    return FilePlace(params)
