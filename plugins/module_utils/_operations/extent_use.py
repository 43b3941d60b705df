# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Extents that shall go with their image: who else uses them, and the step that removes what an interrupted run left."""

from __future__ import annotations

import os
from collections.abc import Collection
from functools import partial

from .._jobs.running import write_lock
from .._locks import try_lock
from .._plan import Step
from .extent_files import is_untidy, recorded_extents, tidy
from .operation import Tools
from .usage import DOMAIN, ENGINE, User, users_of


def extent_users(
    path: str, tools: Tools, *, search_paths: Collection[str] = (), gone: Collection[str] = ()
) -> list[User]:
    """VMs and engines that use an extent of the image `path` by its own name; what other images name is never removed."""
    found = [
        user
        for extent in recorded_extents(path)
        for user in users_of(extent, tools, search_paths=search_paths, gone={*gone, path})
        if user.kind in (DOMAIN, ENGINE)
    ]
    return list(dict.fromkeys(found))


def tidying(path: str) -> tuple[Step, ...]:
    """A step for what an interrupted run left of an image of several files, if it left something."""
    if not is_untidy(path):
        return ()
    return (Step(f"remove the unfinished files of {path}", partial(_tidy_unless_written, path)),)


def _tidy_unless_written(path: str) -> None:
    """What a job writes at this moment isn't a leftover."""
    handle = try_lock(write_lock(path))
    if handle is not None:
        try:
            tidy(path)
        finally:
            os.close(handle)
