# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_clone."""

from __future__ import annotations

from typing import Any

from .specs import batch_spec
from .vm_spec import WAIT_FOR

_ITEM: dict[str, Any] = {
    "name": {"type": "str"},
    "source": {"type": "str"},
    "mode": {"type": "str", "choices": ["full", "linked"]},
    "state": {"type": "str", "choices": ["stopped", "running"]},
    "directory": {"type": "path"},
    "mac": {"type": "list", "elements": "str"},
    "wait_for": {"type": "dict", "options": WAIT_FOR},
    "uri": {"type": "str"},
}

CLONE = batch_spec(
    "clones",
    _ITEM,
    key="name",
    defaults={"mode": "full", "state": "stopped", "uri": "qemu:///system"},
)
