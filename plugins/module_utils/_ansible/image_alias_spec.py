# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_alias."""

from __future__ import annotations

from typing import Any

from .catalog_options import CATALOG_TASK_OPTIONS
from .specs import batch_spec

_ITEM: dict[str, Any] = {
    "alias": {"type": "str"},
    "repository": {"type": "str"},
    "version": {"type": "str"},
    "rollback": {"type": "bool"},
    "rollback_from": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "absent"]},
    "force": {"type": "bool"},
}

IMAGE_ALIAS = batch_spec(
    "aliases",
    _ITEM,
    key="alias",
    defaults={"state": "present", "rollback": False, "force": False},
    common={"lock_timeout": {"type": "int", "default": 60}, **CATALOG_TASK_OPTIONS},
)
