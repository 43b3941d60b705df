# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole copy of an image file beside it, to work on: its bytes and holes, its owner, mode and attributes."""

from __future__ import annotations

import os

from .._files import require_space
from .._jobs.progress import Progress
from .file_copy import clone, copy_attributes, copy_data

REFLINK, COPY = "reflink", "copy"


def shares_blocks(path: str) -> bool:
    """Whether the file system can copy `path` without copying; asked with a file that never has a name."""
    try:
        new = os.open(os.path.dirname(path), os.O_RDWR | os.O_TMPFILE, 0o600)
    except OSError:
        return False
    try:
        with open(path, "rb", buffering=0) as old:
            return clone(old.fileno(), new)
    finally:
        os.close(new)


def require_room(path: str) -> None:
    """Raise NoSpace when a copy of `path` can't be made beside it."""
    if not shares_blocks(path):
        require_space(path, os.stat(path).st_blocks * 512, what=f"A copy of {path}")


def copy_beside(path: str, partial: str, progress: Progress, *, bandwidth: int | None = None) -> str:
    """Make the new file `partial` a copy of `path`, readable by nobody else until it is whole; REFLINK or COPY.

    `bandwidth` is in bytes a second.
    """
    new = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(path, "rb", buffering=0) as old:
            how = REFLINK if clone(old.fileno(), new) else COPY
            if how == COPY:
                copy_data(old.fileno(), new, progress.update, bandwidth=bandwidth)
            copy_attributes(old.fileno(), new)
    finally:
        os.close(new)
    return how
