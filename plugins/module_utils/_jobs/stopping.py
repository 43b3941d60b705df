# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stopping a job from outside, and cleaning what one left that died."""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import replace

from .._commands import Commands
from .._errors import TimedOut
from .clock import Clock
from .leaves import remove_leaves
from .listing import works
from .state import CANCELLED, UNIT, JobState, job_path, read_state, unit_name, write_state
from .turns import in_turn


def stop(state: JobState, clock: Clock, commands: Commands, *, timeout: float) -> None:
    """Stop a running job, wait for its end, and clean what it leaves; raises TimedOut when it doesn't end in time."""
    if state.launcher == UNIT:
        commands.output(["systemctl", "--no-block", "stop", f"{unit_name(state.id)}.service"])
    elif _is_helper(state):
        with contextlib.suppress(ProcessLookupError):
            os.kill(state.pid, signal.SIGTERM)
    if not clock.wait_until(lambda: not works(read_state(state.id) or state, clock), timeout):
        raise TimedOut(
            f"The job {state.id} was told to stop and has not ended within {timeout:g} seconds; look at its log "
            f"{job_path(state.id, 'log')}.",
            job=state.id,
        )
    clean(read_state(state.id) or state, clock)


def clean(state: JobState, clock: Clock) -> None:
    """Remove what a job that has ended or died left, and make its state say that it is over, unless it was started again."""
    with in_turn(state.id, clock):
        now = read_state(state.id) or state
        if works(now, clock):
            return
        remove_leaves(now.leaves)
        if not now.ended or now.leaves:
            status = now.status if now.ended else CANCELLED
            write_state(replace(now, status=status, leaves=[], updated=clock.time()))


def _is_helper(state: JobState) -> bool:
    """Whether the process that the state names is the job's helper, and not another one that got its number."""
    try:
        with open(f"/proc/{state.pid}/cmdline", "rb") as stream:
            return os.fsencode(job_path(state.id)) in stream.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
