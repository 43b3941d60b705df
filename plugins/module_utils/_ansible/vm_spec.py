# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the modules vm and vm_info."""

from __future__ import annotations

from typing import Any

from .catalog_options import CATALOG_TASK_OPTIONS
from .signature_options import SIGNATURE_OPTIONS
from .specs import ENGINE_DEFAULTS, ENGINE_OPTIONS, FORMATS, ModuleSpec, batch_spec

_DISK: dict[str, Any] = {
    "image": {"type": "path"},
    "image_format": {"type": "str", "choices": FORMATS},
    "image_disk": {"type": "str"},
    "copy": {"type": "str", "choices": ["linked", "full"], "default": "linked"},
    "size": {"type": "str"},
    "path": {"type": "path"},
    "format": {"type": "str", "choices": ["raw", "qcow2"]},
    "target": {"type": "str"},
    "bus": {"type": "str", "choices": ["virtio", "scsi", "sata", "ide"]},
    "device": {"type": "str", "choices": ["disk", "cdrom"], "default": "disk"},
    "readonly": {"type": "bool"},
    "boot": {"type": "int"},
}
_NETWORK: dict[str, Any] = {
    "network": {"type": "str"},
    "bridge": {"type": "str"},
    "mac": {"type": "str"},
    "model": {"type": "str"},
    "vlan": {"type": "int"},
    "boot": {"type": "int"},
}
_CLOUD_INIT: dict[str, Any] = {
    "user_data": {"type": "raw", "no_log": True},
    "meta_data": {"type": "raw"},
    "network_config": {"type": "raw"},
    "detached": {"type": "bool", "default": False},
}
WAIT_FOR: dict[str, Any] = {
    "running": {"type": "bool", "default": True},
    "console": {"type": "str"},
    "agent": {"type": "bool", "default": False},
    "ip": {"type": "str", "choices": ["any", "agent", "lease", "arp"]},
    "ssh": {"type": "int"},
    "cloud_init": {"type": "bool", "default": False},
    "screenshot": {"type": "path"},
    "timeout": {"type": "int", "default": 120},
}
_ITEM: dict[str, Any] = {
    "name": {"type": "str"},
    "state": {"type": "str", "choices": ["present", "running", "stopped", "restarted", "paused", "absent"]},
    "uri": {"type": "str"},
    **ENGINE_OPTIONS,
    "memory": {"type": "str"},
    "vcpus": {"type": "int"},
    "cpu": {"type": "str"},
    "machine": {"type": "str"},
    "title": {"type": "str"},
    "description": {"type": "str"},
    "disks": {"type": "list", "elements": "dict", "options": _DISK},
    "networks": {"type": "list", "elements": "dict", "options": _NETWORK},
    "console": {"type": "bool"},
    "agent": {"type": "bool"},
    "cloud_init": {"type": "dict", "options": _CLOUD_INIT},
    "firmware": {"type": "str", "choices": ["bios", "uefi"]},
    "secure_boot": {"type": "bool"},
    "tpm": {"type": "bool"},
    "hugepages": {"type": "raw"},
    "cpu_pinning": {"type": "raw"},
    "os": {"type": "str", "choices": ["linux", "windows"]},
    "virtio_media": {"type": "path"},
    "labels": {"type": "dict"},
    "graphics": {"type": "str", "choices": ["none", "vnc", "spice"]},
    "acceleration": {"type": "str", "choices": ["auto", "kvm", "tcg"]},
    # It may hold the password of a display.
    "xml": {"type": "str", "no_log": True},
    "autostart": {"type": "bool"},
    "wait_for": {"type": "dict", "options": WAIT_FOR},
    "shutdown_timeout": {"type": "int"},
    "force_stop": {"type": "bool"},
    "remove_disks": {"type": "bool"},
    "search_paths": {"type": "list", "elements": "path"},
}

VM = batch_spec(
    "vms",
    _ITEM,
    key="name",
    defaults={
        "state": "running",
        "uri": "qemu:///system",
        **ENGINE_DEFAULTS,
        "shutdown_timeout": 60,
        "force_stop": False,
        "remove_disks": False,
    },
    common={
        "parallel": {"type": "int", "default": 8},
        "lock_timeout": {"type": "int", "default": 60},
        "images_dir": {"type": "path"},
        **CATALOG_TASK_OPTIONS,
        **SIGNATURE_OPTIONS,
    },
)

VM_INFO = ModuleSpec(
    {
        "name": {"type": "str"},
        "names": {"type": "list", "elements": "str"},
        "uri": {"type": "str", "default": "qemu:///system"},
        "addresses": {"type": "bool", "default": False},
        "hypervisor": {**ENGINE_OPTIONS["hypervisor"], "default": "libvirt"},
        "socket": ENGINE_OPTIONS["socket"],
    },
    constraints={"mutually_exclusive": [("name", "names")]},
)
