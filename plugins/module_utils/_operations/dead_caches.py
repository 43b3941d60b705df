# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Caches of packs whose server was killed: nobody hands them on any more, and each takes as much room as an image."""

from __future__ import annotations

import contextlib
import os

from .._files import state_top
from .._jobs.clock import Clock
from .._jobs.leaves import remove_leaves
from .._jobs.listing import works
from .._jobs.state import job_id, read_state
from .serve import KIND, server_target

_FOLDER = "packs"


def remove_dead_caches(clock: Clock) -> None:
    """Remove the caches of ports on which no server of ours works."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(os.path.join(state_top(), _FOLDER)):
            state = read_state(job_id(KIND, server_target(name)))
            if state is None or not works(state, clock):
                remove_leaves([os.path.join(state_top(), _FOLDER, name)])
