# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that a pull writes: hidden while blocks come, and kept for the next run when they stop coming."""

from __future__ import annotations

import os
import stat
from typing import Any

from .._catalog.blocks import DiskBlocks
from .._errors import Conflict
from .._files import fingerprint, remove
from .image_pull_layout import layout_of
from .image_pull_log import Past, PullLog
from .image_pull_request import PullRequest
from .image_pull_sink import Sink


class PullFile:
    """The hidden file of one pull, its sink and its log; `past` is what an earlier run did."""

    def __init__(self, request: PullRequest, disk: str, blocks: DiskBlocks) -> None:
        self._request = request
        self.log = PullLog(request.dest)
        handle = _open(request.partial)
        self.sink = Sink(handle, blocks, layout_of(blocks, request.format))
        identity = request.identity(disk)
        self.past: Past | None = self.log.load(identity, blocks)
        if self.past is None:
            os.ftruncate(handle, 0)
        self.log.open(identity, fresh=self.past is None)
        self.sink.begin()

    def close(self) -> None:
        """Let go of the file; it and the log stay."""
        os.close(self.sink.handle)
        self.log.close()

    def discard(self) -> None:
        """There is nothing to go on with any more."""
        remove(self._request.partial)
        self.log.forget()


def _open(path: str) -> int:
    """The hidden file, a new one unless ours is there."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    handle = os.open(path, flags, 0o600)
    found = os.fstat(handle)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1:
        return handle
    os.close(handle)
    remove(path)
    return os.open(path, flags | os.O_EXCL, 0o600)


def require_same_destination(request: PullRequest, before: dict[str, Any] | None) -> None:
    """Raise Conflict when `dest` isn't any more what the task looked at."""
    found = fingerprint(request.dest)
    if (found.as_dict() if found else None) != before:
        raise Conflict(f"dest: {request.dest} was changed by somebody else meanwhile; it was left as it is now.")
