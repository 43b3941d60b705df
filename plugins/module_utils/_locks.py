# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks on objects: flock(2) on files that are never removed, so a lock dies with its last holder.

The descriptor may be inherited by an engine process: then the lock lives as long as any writer.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Callable

from ._errors import InUse
from ._files import state_dir

_HELD: list[int] = []


def lock_path(name: str) -> str:
    """The lock file of the object `name` (a real path, or a word such as `domain:web`)."""
    return os.path.join(state_dir("locks"), hashlib.sha256(os.fsencode(name)).hexdigest()[:32])


def try_lock(name: str, *, inheritable: bool = False, shared: bool = False) -> int | None:
    """Take the lock of `name`; the descriptor that holds it, or None while somebody else has it.

    A `shared` one is held with others who take it so.
    """
    handle = os.open(lock_path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    if not shared:
        _sign(handle, name)
    os.set_inheritable(handle, inheritable)
    return handle


def _sign(handle: int, name: str) -> None:
    """Say in the lock file who has it. A file that keeps its length costs the file system no more than its time stamp."""
    text = os.fsencode(f"{os.getpid()} {name}\n")
    os.pwrite(handle, text, 0)
    if os.fstat(handle).st_size != len(text):
        os.ftruncate(handle, len(text))


def holder(name: str) -> str:
    """Who wrote himself into the lock file of `name`: a process id, or an empty string."""
    try:
        with open(lock_path(name), encoding="utf-8", errors="replace") as stream:
            return stream.read(200).split(" ")[0].strip()
    except FileNotFoundError:
        return ""


@contextlib.contextmanager
def held(names: Sequence[str], *, timeout: float, wait: Callable[[Callable[[], bool], float], bool]) -> Iterator[None]:
    """Hold the locks of all `names`, taken in sorted order.

    `wait(predicate, seconds)` polls until the predicate is true. Raises InUse when a lock isn't free in `timeout` seconds.
    """
    handles: list[int] = []
    try:
        for name in sorted(set(names)):
            handles.append(_take(name, timeout=timeout, wait=wait))
        _HELD.extend(handles)
        yield
    finally:
        for handle in handles:
            if handle in _HELD:
                _HELD.remove(handle)
            os.close(handle)


def held_descriptors() -> tuple[int, ...]:
    """The locks that this process has by `held`: an engine that inherits them keeps them should we be killed."""
    return tuple(_HELD)


def _take(name: str, *, timeout: float, wait: Callable[[Callable[[], bool], float], bool]) -> int:
    handle = wait_for_lock(name, timeout=timeout, wait=wait)
    if handle is None:
        raise InUse(
            f"{name} is being worked on by another task (process {holder(name) or 'unknown'}), and was not free within "
            f"{timeout:g} seconds; run the task again when that one has ended."
        )
    return handle


def wait_for_lock(
    name: str,
    *,
    timeout: float,
    wait: Callable[[Callable[[], bool], float], bool],
    inheritable: bool = False,
    shared: bool = False,
) -> int | None:
    """Take the lock of `name` as soon as it is free; None when it isn't in `timeout` seconds. `wait` is as in `held`."""
    got: list[int] = []

    def attempt() -> bool:
        handle = try_lock(name, inheritable=inheritable, shared=shared)
        if handle is not None:
            got.append(handle)
        return bool(got)

    wait(attempt, timeout)
    return got[0] if got else None
