# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_clone."""

from __future__ import annotations

from typing import Any

from .catalog_options import CATALOG_TASK_OPTIONS
from .signature_options import SIGNATURE_OPTIONS
from .specs import ENGINE_DEFAULTS, ENGINE_OPTIONS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec
from .vm_spec import WAIT_FOR

_DISK: dict[str, Any] = {
    "target": {"type": "str", "required": True},
    "mode": {"type": "str", "required": True, "choices": ["copy", "link", "share", "skip"]},
}

_ITEM: dict[str, Any] = {
    "name": {"type": "str"},
    "source": {"type": "str"},
    "mode": {"type": "str", "choices": ["full", "linked"]},
    "state": {"type": "str", "choices": ["stopped", "running"]},
    "directory": {"type": "path"},
    "mac": {"type": "list", "elements": "str"},
    "wait_for": {"type": "dict", "options": WAIT_FOR},
    "snapshot": {"type": "str"},
    "quiesce": {"type": "bool"},
    "quiesce_timeout": {"type": "int"},
    "disks": {"type": "list", "elements": "dict", "options": _DISK},
    "identity": {"type": "str", "choices": ["none", "seed", "edit"]},
    "tpm": {"type": "str", "choices": ["refuse", "fresh"]},
    "serials": {"type": "str", "choices": ["new", "keep"]},
    **ENGINE_OPTIONS,
    "uri": {"type": "str"},
    **JOB_ITEM_OPTIONS,
}

CLONE = batch_spec(
    "clones",
    _ITEM,
    key="name",
    defaults={
        "mode": "full",
        "state": "stopped",
        "quiesce": False,
        "quiesce_timeout": 10,
        "identity": "none",
        "tpm": "refuse",
        "serials": "new",
        **ENGINE_DEFAULTS,
        "uri": "qemu:///system",
        **JOB_DEFAULTS,
    },
    common={**JOB_TASK_OPTIONS, "images_dir": {"type": "path"}, **CATALOG_TASK_OPTIONS, **SIGNATURE_OPTIONS},
)
