# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_capture."""

from __future__ import annotations

from typing import Any

from .image_build_spec import STEPS
from .specs import FILE_OPTIONS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

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
    "path": {"type": "path"},
    "format": {"type": "str", "choices": ["qcow2", "raw"]},
    "vm": {"type": "str"},
    "uri": {"type": "str"},
    "disk": {"type": "str"},
    "quiesce": {"type": "bool"},
    "quiesce_timeout": {"type": "int"},
    "ssh": {"type": "dict", "options": _SSH},
    "size": {"type": "str"},
    "steps": {"type": "list", "elements": "dict", "options": STEPS},
    "generalise": {"type": "bool"},
    "keep": {"type": "list", "elements": "str"},
    "compression": {"type": "str", "choices": ["none", "zlib", "zstd"]},
    "engine": {"type": "str", "choices": ["auto", "guestfs", "chroot"]},
    "guest_timeout": {"type": "int"},
    "force": {"type": "bool"},
    "search_paths": {"type": "list", "elements": "path"},
    **FILE_OPTIONS,
    **JOB_ITEM_OPTIONS,
}
_DEFAULTS: dict[str, Any] = {
    "format": "qcow2",
    "uri": "qemu:///system",
    "quiesce": False,
    "quiesce_timeout": 10,
    "generalise": True,
    "engine": "auto",
    "guest_timeout": 1800,
    "force": False,
    **JOB_DEFAULTS,
}

VM_CAPTURE = batch_spec("captures", _ITEM, key="path", defaults=_DEFAULTS, common=JOB_TASK_OPTIONS)
