# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module disk_check."""

from __future__ import annotations

from typing import Any

from .specs import FORMATS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_ITEM: dict[str, Any] = {
    "path": {"type": "path"},
    "format": {"type": "str", "choices": [*FORMATS, "qed"]},
    "backing": {"type": "list", "elements": "path"},
    "repair": {"type": "str", "choices": ["none", "leaks", "all"]},
    "backup": {"type": "bool"},
    "fail_on": {"type": "str", "choices": ["errors", "leaks", "never"]},
    "compare_to": {"type": "path"},
    "compare_format": {"type": "str", "choices": [*FORMATS, "qed"]},
    "compare_backing": {"type": "list", "elements": "path"},
    "strict": {"type": "bool"},
    "require_equal": {"type": "bool"},
    "checksum": {"type": "str", "choices": ["sha256", "sha512", "blake2b"]},
    "expect": {"type": "str"},
    "reread": {"type": "bool"},
    "search_paths": {"type": "list", "elements": "path"},
    **JOB_ITEM_OPTIONS,
}

DISK_CHECK = batch_spec(
    "disks",
    _ITEM,
    key="path",
    defaults={
        "repair": "none",
        "fail_on": "errors",
        "strict": False,
        "require_equal": False,
        "reread": False,
        **JOB_DEFAULTS,
    },
    common=JOB_TASK_OPTIONS,
)
