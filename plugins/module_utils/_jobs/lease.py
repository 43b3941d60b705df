# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease of a job: a file whose modification time says when somebody last asked for the job.

Its content says what becomes of the job when nobody does: it goes on (detach), or stops itself (cancel). Tasks that join a
job agree by the safer wish: one that detaches wins, and the longest time.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
from dataclasses import dataclass

from .._errors import InvalidOption
from .clock import Clock
from .state import job_dir, job_path

DETACH, CANCEL = "detach", "cancel"
_LEAST_SECONDS = 5


@dataclass(frozen=True)
class Lease:
    """What a task wants for its jobs; `timeout` is the seconds without a sign of it."""

    on_interrupt: str = DETACH
    timeout: int = 60


def require_lease(lease: Lease) -> None:
    """Raise InvalidOption for a time that is too short to poll in."""
    if lease.timeout < _LEAST_SECONDS:
        raise InvalidOption(f"lease_timeout: {lease.timeout} seconds are too few; give {_LEAST_SECONDS} or more.")


def grant(identifier: str, lease: Lease) -> None:
    """The first lease of a job that is being started."""
    _write(identifier, lease, joining=False)


def share(identifier: str, lease: Lease) -> None:
    """One more task waits for the job."""
    _write(identifier, lease, joining=True)


def renew(identifier: str) -> None:
    """Somebody still asks for the job."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(job_path(identifier, "lease"))


def _write(identifier: str, lease: Lease, *, joining: bool) -> None:
    """Write the lease under a lock on its file, so that two tasks that join at once agree."""
    path = os.path.join(job_dir(identifier), "lease")
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "r+", encoding="utf-8") as stream:
        fcntl.flock(handle, fcntl.LOCK_EX)
        agreed = _safer(_parse(stream.read()), lease) if joining else lease
        stream.seek(0)
        stream.truncate()
        json.dump({"on_interrupt": agreed.on_interrupt, "lease_timeout": agreed.timeout}, stream)
    renew(identifier)


def _safer(one: Lease, other: Lease) -> Lease:
    both = one.on_interrupt == other.on_interrupt == CANCEL
    return Lease(CANCEL if both else DETACH, max(one.timeout, other.timeout))


def _parse(text: str) -> Lease:
    """The lease that `text` tells; one that can't be read lets the job go on."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        loaded = json.loads(text)
        return Lease(str(loaded["on_interrupt"]), int(loaded["lease_timeout"]))
    return Lease()


def lease_of(identifier: str) -> Lease:
    """The lease of a job."""
    try:
        with open(job_path(identifier, "lease"), encoding="utf-8") as stream:
            return _parse(stream.read())
    except FileNotFoundError:
        return Lease()


def expired(identifier: str, clock: Clock) -> Lease | None:
    """The lease of a job that shall stop since nobody asked for it in time, else None."""
    lease = lease_of(identifier)
    if lease.on_interrupt != CANCEL:
        return None
    with contextlib.suppress(FileNotFoundError):
        return lease if clock.time() - os.stat(job_path(identifier, "lease")).st_mtime > lease.timeout else None
    return None


class Caller:
    """Who started this process: sshd or a supervisor, and behind it the controller."""

    def __init__(self) -> None:
        self._parent = os.getppid()

    def lives(self) -> bool:
        """Whether the parent is still the same and somebody can still read our output, as far as can be seen from here."""
        if os.getppid() != self._parent:
            return False
        gone = select.POLLERR | select.POLLHUP | select.POLLNVAL
        # Items are waited for side by side, and no two threads may poll by one object.
        output = select.poll()
        output.register(1, 0)
        return not any(event & gone for _handle, event in output.poll(0))


CALLER = Caller()
