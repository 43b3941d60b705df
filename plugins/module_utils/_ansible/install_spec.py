# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_install."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .specs import FILE_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_ANSWERS: dict[str, Any] = {
    "kind": {
        "type": "str",
        "required": True,
        "choices": ["preseed", "kickstart", "autoinstall", "autoyast", "ignition", "combustion", "autounattend"],
    },
    # Answers hold passwords.
    "content": {"type": "raw", "required": True, "no_log": True},
}
_FINISH: dict[str, Any] = {
    "when": {"type": "str", "choices": ["poweroff", "console", "agent"]},
    "console": {"type": "str"},
    "failure": {"type": "str"},
    "progress": {"type": "str"},
    "timeout": {"type": "int", "default": 7200},
    "reboot": {"type": "str", "choices": ["ends", "continues"]},
    "screenshot": {"type": "path"},
}
_ITEM: dict[str, Any] = {
    "path": {"type": "path"},
    "format": {"type": "str", "choices": ["raw", "qcow2"]},
    "size": {"type": "str"},
    "force": {"type": "bool"},
    "boot": {"type": "str", "choices": ["direct", "cdrom", "network"]},
    "kernel": {"type": "str"},
    "initrd": {"type": "str"},
    "arguments": {"type": "str"},
    "iso": {"type": "path"},
    "tftp_root": {"type": "path"},
    "boot_file": {"type": "str"},
    "subnet": {"type": "str"},
    "answers": {"type": "dict", "options": _ANSWERS},
    "memory": {"type": "str"},
    "vcpus": {"type": "int"},
    "cpu": {"type": "str"},
    "machine": {"type": "str"},
    "firmware": {"type": "str", "choices": ["bios", "uefi"]},
    "acceleration": {"type": "str", "choices": ["auto", "kvm", "tcg"]},
    "graphics": {"type": "str", "choices": ["none", "vnc", "spice"]},
    "network": {"type": "str"},
    "bridge": {"type": "str"},
    "finish": {"type": "dict", "options": _FINISH},
    "space": {"type": "str"},
    "uri": {"type": "str"},
    "search_paths": {"type": "list", "elements": "path"},
    **FILE_OPTIONS,
    "timeout": {"type": "int"},
}
_DEFAULTS: dict[str, Any] = {
    "format": "qcow2",
    "force": False,
    "memory": "2GiB",
    "vcpus": 2,
    "firmware": "bios",
    "acceleration": "auto",
    "graphics": "none",
    "uri": "qemu:///system",
    "timeout": 0,
}

INSTALL = replace(
    batch_spec("installs", _ITEM, key="path", defaults=_DEFAULTS, common=JOB_TASK_OPTIONS),
    hidden=("answers", "content"),
)
