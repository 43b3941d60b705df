# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The moment at which a file is replaced, changed or removed: nobody may use it by then, whatever was found when it was planned."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Callable

from .._jobs.clock import Clock
from .._qemu.image_locks import kept_from_engines
from .base_files import alone

if TYPE_CHECKING:
    from .operation import Tools
    from .usage import User


@contextlib.contextmanager
def replacing(path: str, before: dict[str, Any] | None, *, search_paths: Collection[str] = ()) -> Iterator[None]:
    """Held while `path`, which was `before` (its fingerprint) when the task looked at it, gets its new content.

    Raises InUse when a VM, an image or an engine uses the old one by now. Of a new file there is nothing to use.
    """
    with changing(path, search_paths=search_paths) if before is not None else kept_from_engines(path):
        yield


@contextlib.contextmanager
def changing(
    path: str, *, disturbs: Callable[[User], bool] | None = None, search_paths: Collection[str] = ()
) -> Iterator[None]:
    """Held while what `path` names is replaced; raises InUse when somebody uses it whom that `disturbs` (None: anybody).

    An engine that may not open the file can't put an overlay on it either, so the last look must be under the engines' lock, while
    which no VM starts that has it. The look before reads what takes long, the last one what changed since.
    """
    with undisturbed(path, disturbs=disturbs, search_paths=search_paths) as look_again, kept_from_engines(path):
        look_again()
        yield


@contextlib.contextmanager
def undisturbed(
    path: str, *, disturbs: Callable[[User], bool] | None, search_paths: Collection[str]
) -> Iterator[Callable[[], None]]:
    """Held while the file is changed where it is: nobody makes disks from it, and nobody has; the look can be had once more."""
    from .operation import Tools
    from .usage import look_anew

    with alone(path, Clock()), contextlib.closing(Tools()) as tools:

        def look() -> None:
            look_anew(tools)
            _require_unused(path, tools, disturbs, search_paths)

        look()
        yield look


def rests_or_runs(user: User) -> bool:
    """Whether another content would disturb the user: all but a stopped VM whose own disk the file is."""
    return user.running or not user.top


def runs(user: User) -> bool:
    """Whether a file in the place of another with the same content would disturb the user."""
    return user.running


def _require_unused(
    path: str, tools: Tools, disturbs: Callable[[User], bool] | None, search_paths: Collection[str]
) -> None:
    from .extent_use import extent_users
    from .usage import ENGINE, refuse, users_of

    users = users_of(path, tools, search_paths=search_paths)
    users += extent_users(path, tools, search_paths=search_paths)
    # The engine that holds the file is this process, which lets no other open it.
    others = [user for user in users if user.kind != ENGINE or user.name != path]
    refuse(path, filter(disturbs, others) if disturbs else others)
