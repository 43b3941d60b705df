# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_publish."""

from __future__ import annotations

from typing import Any

from .catalog_options import CATALOG_TASK_OPTIONS
from .specs import FORMATS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_DISK: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "format": {"type": "str", "choices": [*FORMATS, "qed"]},
    "name": {"type": "str"},
    "backing": {"type": "list", "elements": "path"},
}

_ITEM: dict[str, Any] = {
    "image": {"type": "str"},
    "disks": {"type": "list", "elements": "dict", "options": _DISK},
    "vm": {"type": "str"},
    "uri": {"type": "str"},
    "quiesce": {"type": "bool"},
    "quiesce_timeout": {"type": "int"},
    "labels": {"type": "dict"},
    "os": {"type": "dict"},
    "tags": {"type": "list", "elements": "str"},
    "aliases": {"type": "list", "elements": "str"},
    "base": {"type": "list", "elements": "str"},
    "move_tag": {"type": "bool"},
    "layout": {"type": "str", "choices": ["image", "containerdisk"]},
    "compression_level": {"type": "int"},
    **JOB_ITEM_OPTIONS,
}
_DEFAULTS: dict[str, Any] = {
    "uri": "qemu:///system",
    "quiesce": False,
    "quiesce_timeout": 10,
    "move_tag": False,
    "layout": "image",
    "compression_level": 3,
    **JOB_DEFAULTS,
}

IMAGE_PUBLISH = batch_spec(
    "images", _ITEM, key="image", defaults=_DEFAULTS, common={**JOB_TASK_OPTIONS, **CATALOG_TASK_OPTIONS}
)
