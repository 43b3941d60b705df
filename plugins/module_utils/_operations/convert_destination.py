# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The destination of a conversion, which nobody else may have changed since the task looked at it."""

from __future__ import annotations

from typing import Any

from .._errors import Conflict
from .._files import fingerprint


def require_same_destination(params: dict[str, Any]) -> None:
    """Raise Conflict when `dest` isn't what it was when the job was planned."""
    found = fingerprint(params["dest"])
    if (found.as_dict() if found else None) != params["dest_before"]:
        raise Conflict(
            f"dest: {params['dest']} was changed by somebody else during the conversion; it was left as it is now."
        )
