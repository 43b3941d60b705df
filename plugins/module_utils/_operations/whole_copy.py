# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole copy of an image file beside it, to work on: its bytes and holes, its owner, mode and attributes."""

from __future__ import annotations

import os
from dataclasses import replace

from .._errors import Conflict
from .._files import fingerprint, publish, require_space, sync_file
from .._jobs.progress import Progress
from .._qemu.image_locks import kept_from_engines
from .._records import Record, tidy_sidecars, write_record
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


def publish_copy(partial: str, path: str, *, before: dict[str, object], record: Record | None, same: bool) -> None:
    """Make `path` point at the finished copy `partial`, unless it isn't any more what `before` (its fingerprint) says.

    `record` goes with it; when the content isn't the `same` any more, so that it doesn't count as untouched.
    """
    with kept_from_engines(path):
        found = fingerprint(path)
        if (found.as_dict() if found else None) != before:
            raise Conflict(f"{path} was changed by somebody else meanwhile; it was left as it is now.")
        sync_file(partial)
        if record:
            write_record(partial, replace(record, digest=record.digest if same else ""), final=path)
            if not same:
                touch(partial)
        publish(partial, path)
    tidy_sidecars(path)


def touch(path: str) -> None:
    """Give `path` another modification time, so that a record on it tells of a file that was written to since."""
    found = os.stat(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
