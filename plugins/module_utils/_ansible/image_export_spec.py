# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_export."""

from __future__ import annotations

from typing import Any

from .._portable.machine import BUSES
from .._portable.ovf_names import ADAPTERS
from .._portable.presets import PRESETS
from .specs import FILE_OPTIONS, FORMATS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_DISK: dict[str, Any] = {
    "path": {"type": "path", "required": True},
    "format": {"type": "str", "choices": [*FORMATS, "qed"]},
    "name": {"type": "str"},
    "backing": {"type": "list", "elements": "path"},
}
MACHINE: dict[str, Any] = {
    "vcpus": {"type": "int"},
    "memory": {"type": "str"},
    "firmware": {"type": "str", "choices": ["bios", "uefi"]},
    "secure_boot": {"type": "bool"},
    "chipset": {"type": "str", "choices": ["q35", "pc"]},
    "arch": {"type": "str"},
    "bus": {"type": "str", "choices": list(BUSES)},
    "networks": {"type": "list", "elements": "str"},
    "nic_model": {"type": "str", "choices": ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"]},
    "os": {"type": "str"},
    "description": {"type": "str"},
}

_ITEM: dict[str, Any] = {
    "dest": {"type": "path"},
    "preset": {"type": "str", "choices": list(PRESETS)},
    "disks": {"type": "list", "elements": "dict", "options": _DISK},
    "vm": {"type": "str"},
    "uri": {"type": "str"},
    "name": {"type": "str"},
    "machine": {"type": "dict", "options": MACHINE},
    "disk_format": {"type": "str", "choices": ["qcow2", "raw", "vmdk", "vhd", "vhdx"]},
    "hardware_version": {"type": "int"},
    "adapter": {"type": "str", "choices": list(ADAPTERS)},
    "certificate": {"type": "path"},
    "private_key": {"type": "path"},
    "force": {"type": "bool"},
    **JOB_ITEM_OPTIONS,
    **FILE_OPTIONS,
}

IMAGE_EXPORT = batch_spec(
    "exports",
    _ITEM,
    key="dest",
    defaults={"uri": "qemu:///system", "hardware_version": 13, "force": False, **JOB_DEFAULTS},
    common=JOB_TASK_OPTIONS,
)
