# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks on objects: flock(2) on files that are never removed, so a lock dies with its last holder.

The descriptor may be inherited by an engine process: then the lock lives as long as any writer.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Callable

from ._errors import InUse
from ._files import state_dir

# Names that begin so are taken after all others, so that who has one waits for nothing that who waits for it has.
LAST = "base:"
# So many open files are no short list, and so many may be open then.
_MANY_FILES, _MOST_FILES = 256, 65536
# What this process has by `held`: names by descriptor.
_HELD: dict[int, str] = {}


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
    if handle >= _MANY_FILES:
        _allow_more_files()
    if not shared:
        _sign(handle, name)
    os.set_inheritable(handle, inheritable)
    return handle


def _allow_more_files() -> None:
    """A lock is an open file, a long list has many, and the usual limit is 1024, which programs may raise themselves."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


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


def holders(name: str) -> str:
    """Who has the lock of `name` now, alone or together, such as `process 12 (python3)`; what the kernel lets us see of it."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        lock = os.stat(lock_path(name))
        for link in glob.glob("/proc/[0-9]*/fd/[0-9]*"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(link), lock) and _locks_by(link):
                    found.add(_process_of(link))
    return ", ".join(sorted(found)) or "a process that can't be seen from here"


def _locks_by(link: str) -> bool:
    """Whether the open file has a lock; one that somebody only opened to try for it has none."""
    with open(link.replace("/fd/", "/fdinfo/"), encoding="ascii", errors="replace") as stream:
        return any(line.startswith("lock:") for line in stream)


def _process_of(link: str) -> str:
    pid = link.split("/")[2]
    with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as stream:
        return f"process {pid} ({stream.read().strip()})"


@contextlib.contextmanager
def held(names: Sequence[str], *, timeout: float, wait: Callable[[Callable[[], bool], float], bool]) -> Iterator[None]:
    """Hold the locks of all `names`, taken in sorted order, those of LAST after the others.

    `wait(predicate, seconds)` polls until the predicate is true. Raises InUse when a lock isn't free in `timeout` seconds.
    """
    handles: list[int] = []
    try:
        for name in sorted(set(names), key=lambda name: (name.startswith(LAST), name)):
            handles.append(_take(name, timeout=timeout, wait=wait))
            _HELD[handles[-1]] = name
        yield
    finally:
        for handle in handles:
            del _HELD[handle]
            os.close(handle)


def is_ours(name: str) -> bool:
    """Whether this process has the lock of `name` by `held`, so that waiting for it would be in vain."""
    return name in _HELD.values()


def held_descriptors() -> tuple[int, ...]:
    """The locks that this process has by `held`: an engine that inherits them keeps them should we be killed."""
    return tuple(_HELD)


def _take(name: str, *, timeout: float, wait: Callable[[Callable[[], bool], float], bool]) -> int:
    handle = wait_for_lock(name, timeout=timeout, wait=wait)
    if handle is None:
        raise InUse(
            f"{name.removeprefix(LAST)} is being worked on by another task ({holders(name)}), and was not free within "
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
