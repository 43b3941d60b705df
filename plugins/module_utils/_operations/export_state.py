# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands at a destination that a whole task replaces, be it a file or a folder of files."""

from __future__ import annotations

import os
from typing import Any

from .._files import fingerprint

KIND = "export"


def state_of(dest: str) -> dict[str, Any]:
    """What tells whether somebody else changes the destination meanwhile: fingerprints by name, nothing where nothing is."""
    if os.path.isdir(dest):
        names = sorted(os.listdir(dest))
        return {name: mark(os.path.join(dest, name)) for name in ("", *names)}
    return {"": mark(dest)} if os.path.lexists(dest) else {}


def mark(path: str) -> dict[str, Any]:
    """The fingerprint of a file, nothing without one."""
    found = fingerprint(path)
    return found.as_dict() if found else {}
