# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entry of the host helper: every kind of job and the function that does its work."""

from __future__ import annotations

import sys

from .._jobs.worker import Work, run_job
from .convert_job import convert

_KINDS: dict[str, Work] = {"convert": convert}


def main() -> int:
    """Do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], _KINDS)
