# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_pull."""

from __future__ import annotations

from typing import Any

from .catalog_options import CATALOG_TASK_OPTIONS
from .signature_options import SIGNATURE_OPTIONS
from .specs import FILE_OPTIONS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_FORMATS = ["qcow2", "raw"]
_DISK: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "dest": {"type": "path", "required": True},
    "format": {"type": "str", "choices": _FORMATS},
}
_ITEM: dict[str, Any] = {
    "image": {"type": "str"},
    "dest": {"type": "path"},
    "disk": {"type": "str"},
    "disks": {"type": "list", "elements": "dict", "options": _DISK},
    "format": {"type": "str", "choices": _FORMATS},
    "verify": {"type": "str", "choices": ["quick", "deep"]},
    "force": {"type": "bool"},
    "seeds": {"type": "list", "elements": "str"},
    "trust_seeds": {"type": "bool"},
    "connections": {"type": "int"},
    "search_paths": {"type": "list", "elements": "path"},
    **JOB_ITEM_OPTIONS,
    **FILE_OPTIONS,
}
_DEFAULTS: dict[str, Any] = {
    "format": "qcow2",
    "verify": "quick",
    "force": False,
    "seeds": ["auto"],
    "trust_seeds": False,
    "connections": 8,
    **JOB_DEFAULTS,
}
_SHARE: dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
    "address": {"type": "str", "default": "0.0.0.0"},
    "token": {"type": "str", "no_log": True},
    "linger": {"type": "int", "default": 60},
}

IMAGE_PULL = batch_spec(
    "images",
    _ITEM,
    key="image",
    defaults=_DEFAULTS,
    common={
        **CATALOG_TASK_OPTIONS,
        **JOB_TASK_OPTIONS,
        **SIGNATURE_OPTIONS,
        "peers": {"type": "list", "elements": "str"},
        "share": {"type": "dict", "options": _SHARE},
    },
)
