# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whoever starts a job, or cleans what one left, has its folder for himself meanwhile: other processes and threads wait."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .._errors import InUse
from .._locks import try_lock, wait_for_lock
from .clock import Clock

# A unit of an earlier job may still be ending, and a host that is busy is slow to start the new one.
_MOST_SECONDS = 60.0


def _name(identifier: str) -> str:
    return f"start:{identifier}"


@contextlib.contextmanager
def in_turn(identifier: str, clock: Clock) -> Iterator[None]:
    """Nobody else starts or cleans this job inside; raises InUse when somebody does so for very long."""
    handle = wait_for_lock(_name(identifier), timeout=_MOST_SECONDS, wait=clock.wait_until)
    if handle is None:
        raise InUse(
            f"The job {identifier} is being started by another task, which has not ended within {_MOST_SECONDS:g} seconds; "
            f"run the task again.",
            job=identifier,
        )
    try:
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def if_free(identifier: str) -> Iterator[bool]:
    """As `in_turn` if nobody has the job's folder now; whether that is so."""
    handle = try_lock(_name(identifier))
    try:
        yield handle is not None
    finally:
        if handle is not None:
            os.close(handle)
