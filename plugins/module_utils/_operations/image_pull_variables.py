# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host has the UEFI variables that came with the image in a file."""

from __future__ import annotations

from .._catalog.variables import read_variables
from .image_pull_found import Found


def has_variables(found: Found) -> bool:
    """Whether they are kept here, or there are none."""
    told = read_variables(found.pulled, where="record")
    if told is None:
        return True
    from .held_variables import are_kept

    return are_kept(told)
