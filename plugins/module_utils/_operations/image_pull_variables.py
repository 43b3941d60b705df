# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether this host has the UEFI variables that came with the image in a file."""

from __future__ import annotations

from .._catalog.variables import TOLD_AS, recorded_variables
from .image_pull_found import Found


def has_variables(found: Found) -> bool:
    """Whether they are kept here, or there are none; a record that says what can't be is to be written anew."""
    told = recorded_variables(found.pulled)
    if told is None:
        return not found.pulled.get(TOLD_AS)
    from .held_variables import are_kept

    return are_kept(told)
