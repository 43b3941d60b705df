# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_sign."""

from __future__ import annotations

from typing import Any

from .catalog_options import CATALOG_TASK_OPTIONS
from .specs import batch_spec

_ITEM: dict[str, Any] = {
    "image": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"]},
    "key": {"type": "path", "no_log": False},
}

IMAGE_SIGN = batch_spec(
    "images",
    _ITEM,
    key="image",
    defaults={"state": "present"},
    common={
        "agent_socket": {"type": "path"},
        "passphrase": {"type": "str", "no_log": True},
        "lock_timeout": {"type": "int", "default": 60},
        **CATALOG_TASK_OPTIONS,
    },
)
