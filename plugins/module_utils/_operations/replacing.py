# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The moment at which a new file takes the name of an old one: nobody may use that by then, whatever was found when it was planned."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import Any

from .._jobs.clock import Clock
from .._qemu.image_locks import kept_from_engines
from .base_files import alone


@contextlib.contextmanager
def replacing(path: str, before: dict[str, Any] | None, *, search_paths: Collection[str] = ()) -> Iterator[None]:
    """Held while `path`, which was `before` (its fingerprint) when the task looked at it, gets its new content.

    Raises InUse when a VM, an image or an engine uses the old one by now. Of a new file there is nothing to use.
    """
    with contextlib.ExitStack() as stack:
        if before is not None:
            stack.enter_context(alone(path, Clock()))
        stack.enter_context(kept_from_engines(path))
        if before is not None:
            _require_unused(path, search_paths)
        yield


def _require_unused(path: str, search_paths: Collection[str]) -> None:
    from .extent_use import extent_users
    from .operation import Tools
    from .usage import ENGINE, refuse, users_of

    with contextlib.closing(Tools()) as tools:
        users = users_of(path, tools, search_paths=search_paths)
        users += extent_users(path, tools, search_paths=search_paths)
    # The engine that holds the file is this process, which lets no other open it.
    refuse(path, [user for user in users if user.kind != ENGINE or user.name != path])
