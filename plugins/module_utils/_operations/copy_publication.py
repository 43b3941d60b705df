# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A finished copy of an image takes the image's name."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace

from .._errors import Conflict
from .._files import fingerprint, publish, sync_file
from .._records import Record, tidy_sidecars, write_record
from .replacing import changing, rests_or_runs, runs


def publish_copy(
    partial: str,
    path: str,
    *,
    before: dict[str, object],
    record: Record | None,
    same: bool,
    reads_same: bool,
    search_paths: Collection[str] = (),
) -> None:
    """Make `path` point at the finished copy `partial`, unless it isn't any more what `before` (its fingerprint) says.

    `record` goes with it; when the content isn't the `same` any more, so that it doesn't count as untouched. Raises InUse when a VM runs
    with it by now, or, unless guests read the same in it, something rests on it.
    """
    with changing(path, disturbs=runs if reads_same else rests_or_runs, search_paths=search_paths):
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
