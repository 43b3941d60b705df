# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What piles up on a host: folders of jobs that ended long ago, helpers of older versions, halves of killed writes.

Looked at when a job starts, never by a run that finds nothing to do. Lock files stay: removing one would let two processes
hold locks of the same name.
"""

from __future__ import annotations

import contextlib
import os
import shutil

from .._files import is_partial, state_top
from .clock import Clock
from .state import read_state
from .turns import if_free

_KEPT_SECONDS = 7 * 86400.0


def tidy_jobs(clock: Clock) -> None:
    """Remove what nobody has used for a week."""
    oldest = clock.time() - _KEPT_SECONDS
    helpers = os.path.join(state_top(), "helper")
    jobs = os.path.join(state_top(), "jobs")
    for path in _older(jobs, oldest):
        with if_free(os.path.basename(path)) as free:
            state = read_state(os.path.basename(path)) if free else None
            if state is not None and state.ended and not state.leaves and state.updated < oldest:
                shutil.rmtree(path, ignore_errors=True)
    # A helper that runs is read to its end when it starts, but its imports may come late.
    old = _older(helpers, oldest)
    if old and not _any_works(jobs):
        for path in old:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    for room in ("locks", "helper"):
        for path in _older(os.path.join(state_top(), room), oldest):
            if is_partial(path):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)


def _older(folder: str, moment: float) -> list[str]:
    """What in `folder` was last used before `moment`."""
    try:
        with os.scandir(folder) as found:
            return [entry.path for entry in found if _used(entry) < moment]
    except FileNotFoundError:
        return []


def _used(entry: os.DirEntry[str]) -> float:
    status = entry.stat(follow_symlinks=False)
    return status.st_mtime


def _any_works(jobs: str) -> bool:
    """Whether any job of this host has not said how it ended."""
    try:
        names = os.listdir(jobs)
    except FileNotFoundError:
        return False
    states = (read_state(name) for name in names)
    return any(state is not None and not state.ended for state in states)
