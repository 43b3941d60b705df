# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_freeze."""

from __future__ import annotations

from typing import Any

from .specs import batch_spec

_ITEM: dict[str, Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["frozen", "thawed"]},
    "limit": {"type": "int"},
    "uri": {"type": "str"},
}

FREEZE = batch_spec(
    "vms",
    _ITEM,
    key="name",
    defaults={"state": "frozen", "limit": 10, "uri": "qemu:///system"},
    common={"lock_timeout": {"type": "int", "default": 60}},
)
