# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User and group of a process, from /proc(5): what it shall write must be theirs."""

from __future__ import annotations

import os


def owner_of(pid: int) -> tuple[int, int]:
    """The effective ones; ourselves when it can't be told, as with a daemon of our own."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
            fields = dict(line.split(":", 1) for line in stream if ":" in line)
    except OSError:
        return os.geteuid(), os.getegid()
    return int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1])
