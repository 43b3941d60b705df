# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells whether a signature was asked for before."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from .._errors import NotFound


def signature_mark(requirement: dict[str, Any] | None) -> str:
    """What tells whether the same signature was asked for before: who may sign has not changed since. Empty for none."""
    if not requirement:
        return ""
    path = os.path.expanduser(str(requirement["allowed_signers"]))
    try:
        with open(path, "rb") as stream:
            found = hashlib.sha256(stream.read())
    except FileNotFoundError:
        raise NotFound(
            f"require_signature: allowed_signers: there is no file {path} on this host; put the keys of those who may sign there first."
        ) from None
    found.update(str(requirement.get("identity") or "*").encode())
    return found.hexdigest()
