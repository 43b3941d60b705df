# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest's fstab: what it mounts where a build writes to."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What programs of a package manager write to; others are the guest's own business.
_NEEDED = re.compile(r"/(boot(/efi)?|efi|usr|usr/local|var|var/lib|var/cache|opt|home|srv)")
_MAY_LACK = {"nofail", "noauto"}
_MOST = 1 << 20


@dataclass(frozen=True)
class Entry:
    """A line: the file system as it is named there, its mount point, and whether the guest does without."""

    device: str
    point: str
    may_lack: bool


def is_needed(point: str) -> bool:
    """Whether a build needs what is mounted there."""
    return bool(_NEEDED.fullmatch(point))


def needed_entries(text: str) -> list[Entry]:
    """The lines whose mount points a build needs."""
    rows = [line.split() for line in text[:_MOST].splitlines() if not line.lstrip().startswith("#")]
    return [
        Entry(row[0], row[1], bool(_MAY_LACK & {word for words in row[3:4] for word in words.split(",")}))
        for row in rows
        if len(row) > 2 and is_needed(row[1])
    ]
