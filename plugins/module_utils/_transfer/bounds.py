# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much a download may write."""

from __future__ import annotations

import os

from .._errors import NoSpace, UnsafeImage
from .._sizes import format_size
from .sparse import SparseWriter

_RESERVE = 64 << 20


class Room:
    """The bounds of what is written: a small file may hold an endless one."""

    def __init__(self, path: str, shown: str, most: int) -> None:
        free = _free(path)
        # Others write to this file system too.
        self._free = free - min(_RESERVE, free // 20)
        self._shown, self._most = shown, most

    def take(self, writer: SparseWriter, data: bytes) -> None:
        """Write `data`, if that is still within the bounds."""
        if writer.position + len(data) > self._most:
            raise UnsafeImage(
                f"{self._shown} holds more than {format_size(self._most)}, which no disk has; do not use this file."
            )
        writer.write(data)
        if writer.stored > self._free:
            raise NoSpace(
                f"{self._shown} holds more than the {format_size(self._free)} that may be written there; free some space or "
                f"choose another folder."
            )


def _free(path: str) -> int:
    status = os.statvfs(os.path.dirname(path) or "/")
    return status.f_bavail * status.f_frsize
