# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module disk_compact."""

from __future__ import annotations

from typing import Any

from .specs import FORMATS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_ITEM: dict[str, Any] = {
    "path": {"type": "path"},
    "format": {"type": "str", "choices": FORMATS},
    "backing": {"type": "list", "elements": "path"},
    "compression": {"type": "str", "choices": ["keep", "zlib", "zstd"]},
    "discard": {"type": "str", "choices": ["auto", "always", "never"]},
    "size": {"type": "str"},
    "grow_partition": {"type": "str"},
    "guest_timeout": {"type": "int"},
    "search_paths": {"type": "list", "elements": "path"},
    **JOB_ITEM_OPTIONS,
}
_DEFAULTS: dict[str, Any] = {"compression": "keep", "discard": "auto", "guest_timeout": 1800, **JOB_DEFAULTS}

DISK_COMPACT = batch_spec("disks", _ITEM, key="path", defaults=_DEFAULTS, common=JOB_TASK_OPTIONS)
