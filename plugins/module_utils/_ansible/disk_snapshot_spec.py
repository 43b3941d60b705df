# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module disk_snapshot."""

from __future__ import annotations

from typing import Any

from .specs import JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_ITEM: dict[str, Any] = {
    "path": {"type": "path"},
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent", "reverted"]},
    "keep": {"type": "int"},
    "prefix": {"type": "str"},
    "backing": {"type": "list", "elements": "path"},
    "search_paths": {"type": "list", "elements": "path"},
    **JOB_ITEM_OPTIONS,
}

DISK_SNAPSHOT = batch_spec(
    "disks", _ITEM, key="path", defaults={"state": "present", **JOB_DEFAULTS}, common=JOB_TASK_OPTIONS
)
