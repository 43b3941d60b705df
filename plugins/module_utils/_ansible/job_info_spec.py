# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module disk_job_info."""

from __future__ import annotations

from .specs import ModuleSpec

JOB_INFO = ModuleSpec(
    {
        "ids": {"type": "list", "elements": "str"},
        "paths": {"type": "list", "elements": "path"},
        "status": {
            "type": "list",
            "elements": "str",
            "choices": ["starting", "running", "done", "failed", "cancelled", "died"],
        },
        "cancel": {"type": "bool", "default": False},
        "timeout": {"type": "int", "default": 30},
    },
    key="id",
    constraints={"required_if": [("cancel", True, ("ids", "paths"), True)]},
)
