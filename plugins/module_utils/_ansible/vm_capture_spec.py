# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_capture."""

from __future__ import annotations

from typing import Any

from .guest_work_spec import GUEST_WORK_DEFAULTS, GUEST_WORK_OPTIONS
from .specs import JOB_TASK_OPTIONS, batch_spec

_SSH: dict[str, Any] = {
    "host": {"type": "str", "required": True},
    "port": {"type": "int", "default": 22},
    "user": {"type": "str"},
    "key": {"type": "path", "no_log": False},
    "known_hosts": {"type": "path"},
    "sudo": {"type": "bool", "default": False},
    "disk": {"type": "str", "required": True},
}
_ITEM: dict[str, Any] = {
    **GUEST_WORK_OPTIONS,
    "vm": {"type": "str"},
    "uri": {"type": "str"},
    "disk": {"type": "str"},
    "quiesce": {"type": "bool"},
    "quiesce_timeout": {"type": "int"},
    "ssh": {"type": "dict", "options": _SSH},
}
_DEFAULTS: dict[str, Any] = {
    **GUEST_WORK_DEFAULTS,
    "uri": "qemu:///system",
    "quiesce": False,
    "quiesce_timeout": 10,
}

VM_CAPTURE = batch_spec("captures", _ITEM, key="path", defaults=_DEFAULTS, common=JOB_TASK_OPTIONS)
