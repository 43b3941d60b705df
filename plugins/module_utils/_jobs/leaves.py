# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a dead job leaves behind, and its removal: only files that can be nobody's but ours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from .._files import is_partial, remove, state_top, sync_folder
from .._locks import try_lock


def is_ours(path: str) -> bool:
    """Whether a job may clean `path`: a hidden partial name, or something inside of a folder of the state directory."""
    if path != os.path.normpath(path) or not os.path.isabs(path):
        return False
    top = state_top() + os.sep
    return is_partial(path) or (path.startswith(top) and os.sep in path[len(top) :])


def require_ours(path: str) -> None:
    """Raise ValueError for a path that a job must not clean."""
    if not is_ours(path):
        raise ValueError(f"{path} is neither a partial name nor in the state directory")


def remove_leaves(paths: Iterable[str]) -> list[str]:
    """Remove those of `paths` that are there and ours, durably; which ones.

    A folder that somebody holds the lock of is his by now: several jobs may use one name, one after the other.
    """
    return [path for path in paths if is_ours(path) and os.path.lexists(path) and _removed(path)]


def _removed(path: str) -> bool:
    if not os.path.isdir(path) or os.path.islink(path):
        remove(path)
        return True
    lock = try_lock(path)
    if lock is None:
        return False
    try:
        shutil.rmtree(path)
        sync_folder(path)
    finally:
        os.close(lock)
    return True
