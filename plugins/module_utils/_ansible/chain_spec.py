# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module disk_chain."""

from __future__ import annotations

from typing import Any

from .specs import FORMATS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_BACKING: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "format": {"type": "str", "choices": FORMATS},
    "chain": {"type": "list", "elements": "path"},
    "relative": {"type": "bool"},
    "unsafe": {"type": "bool", "default": False},
}
_COMMIT: dict[str, Any] = {
    "into": {"type": "path", "required": True},
    "keep": {"type": "bool", "default": False},
}
_ITEM: dict[str, Any] = {
    "path": {"type": "path"},
    "depth": {"type": "int"},
    "backing": {"type": "dict", "options": _BACKING},
    "commit": {"type": "dict", "options": _COMMIT},
    "rewrite": {"type": "bool"},
    "chain": {"type": "list", "elements": "path"},
    "verify": {"type": "str", "choices": ["quick", "deep"]},
    "remove_unused": {"type": "bool"},
    **JOB_ITEM_OPTIONS,
    "search_paths": {"type": "list", "elements": "path"},
}

CHAIN = batch_spec(
    "disks",
    _ITEM,
    key="path",
    defaults={"verify": "quick", "rewrite": False, "remove_unused": False, **JOB_DEFAULTS},
    common=JOB_TASK_OPTIONS,
)
