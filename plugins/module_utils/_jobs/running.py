# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a job runs: by its state, and by the lock that it and its engines hold."""

from __future__ import annotations

import os

from .._locks import try_lock
from .clock import Clock
from .state import STARTING, UNIT, JobState, unit_file

START_SECONDS = 30.0
_APPEARS_SECONDS = 3.0


def write_lock(target: str) -> str:
    """The lock that a job and its engines hold while they write `target`."""
    return f"write:{target}"


def read_lock(identifier: str) -> str:
    """The lock that a job holds alone while it only reads its target; it holds that of who writes there together with others."""
    return f"read:{identifier}"


def is_running(state: JobState, clock: Clock) -> bool:
    """Whether the job of `state` hasn't ended and hasn't died."""
    if state.ended:
        return False
    return _is_starting(state, clock) or _is_held(state.lock or write_lock(state.target))


def _is_starting(state: JobState, clock: Clock) -> bool:
    """Whether the job was started a moment ago, and its unit or who starts it is there, if they have had time to come."""
    age = clock.time() - state.started
    if state.status != STARTING or not 0 <= age < START_SECONDS:
        return False
    there = os.path.exists(f"/proc/{state.starter}") or os.path.exists(unit_file(state.id))
    return state.launcher != UNIT or age < _APPEARS_SECONDS or there


def _is_held(lock: str) -> bool:
    handle = try_lock(lock)
    if handle is None:
        return True
    os.close(handle)
    return False
