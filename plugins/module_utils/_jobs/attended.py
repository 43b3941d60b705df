# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Attended mode: the controller's action plugin waits for jobs, and the module only starts them and takes their ends.

The plugin tells so by an environment variable: a JSON object of the jobs that the task waits for already, by id, as the
runner described them in an earlier run of the same task (`as`, `timeout`, `request`); `waited` is how many seconds ago that was.
"""

from __future__ import annotations

import json
import os
from typing import Any

ATTENDED_VARIABLE = "IMAGEOPS_ATTENDED"
# Why the plugin waits for a job: its item changes something, or doesn't, or somebody else had started the job.
CHANGED, UPKEEP, JOINED = "changed", "upkeep", "joined"
# A job that ends within PATIENCE needs no second run of the module, and nobody wants to see its progress. A second run costs most
# of a second, so a job that has come so far that less than REST is left is waited for too, though not for ever.
PATIENCE = 3.0
REST = 15.0
MOST_PATIENCE = PATIENCE + REST
# As much of a request's digest as tells it from others: the plugin sends that of each job in one argument, which Linux limits to 128 KiB.
_DIGITS = 16


class Pending(Exception):
    """A job goes on after the module's patience; the plugin waits for it. No error, so it is none of ours.

    `request` is the beginning of its request's digest.
    """

    def __init__(self, job: str, *, pid: int, timeout: float | None, request: str) -> None:
        super().__init__(f"the job {job} goes on")
        self.job = job
        self.pid = pid
        self.timeout = timeout or 0.0
        self.request = request[:_DIGITS]


def attended() -> dict[str, dict[str, Any]] | None:
    """The jobs that this task waits for, None when no plugin waits: then the module waits itself."""
    text = os.environ.get(ATTENDED_VARIABLE)
    if not text:
        return None
    loaded = json.loads(text)
    return {str(key): dict(value) for key, value in loaded.items()}
