# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module disk."""

from __future__ import annotations

from typing import Any

from .specs import FILE_OPTIONS, FORMATS, batch_spec

_BACKING: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "format": {"type": "str", "choices": FORMATS},
    "chain": {"type": "list", "elements": "path"},
}
_ITEM: dict[str, Any] = {
    "path": {"type": "path"},
    "state": {"type": "str", "choices": ["present", "absent"]},
    "format": {"type": "str", "choices": FORMATS},
    "size": {"type": "str"},
    "options": {"type": "dict"},
    "backing": {"type": "dict", "options": _BACKING},
    "allow_shrink": {"type": "bool"},
    "force": {"type": "bool"},
    "search_paths": {"type": "list", "elements": "path"},
    **FILE_OPTIONS,
}

DISK = batch_spec(
    "disks",
    _ITEM,
    key="path",
    defaults={"state": "present", "format": "qcow2", "allow_shrink": False, "force": False},
    common={"lock_timeout": {"type": "int", "default": 60}},
)
