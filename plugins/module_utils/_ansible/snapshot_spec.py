# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_snapshot."""

from __future__ import annotations

from typing import Any

from .specs import ENGINE_DEFAULTS, ENGINE_OPTIONS, batch_spec

_ITEM: dict[str, Any] = {
    "name": {"type": "str"},
    "vm": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "reverted"]},
    "description": {"type": "str"},
    "vms": {"type": "list", "elements": "str"},
    "kind": {"type": "str", "choices": ["auto", "internal", "external"]},
    "memory": {"type": "bool"},
    "quiesce": {"type": "bool"},
    "quiesce_timeout": {"type": "int"},
    "adopt": {"type": "bool"},
    "keep": {"type": "int"},
    "older_than": {"type": "str"},
    "start": {"type": "bool"},
    "remove_children": {"type": "bool"},
    "timeout": {"type": "int"},
    "uri": {"type": "str"},
    **ENGINE_OPTIONS,
}

SNAPSHOT = batch_spec(
    "snapshots",
    _ITEM,
    key="name",
    defaults={
        "state": "present",
        "kind": "auto",
        "quiesce": False,
        "adopt": False,
        "quiesce_timeout": 10,
        "start": False,
        "remove_children": False,
        "timeout": 600,
        "uri": "qemu:///system",
        **ENGINE_DEFAULTS,
    },
)
