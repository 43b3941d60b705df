# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image for OpenStack: the properties that Glance keeps beside it and Nova reads (Glance, "Useful image properties")."""

from __future__ import annotations

import json
from typing import Any

from .machine import Machine

_BUSES = {"nvme": "virtio"}
_NICS = {"virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"}
_GIB, _MIB = 1 << 30, 1 << 20


def properties(machine: Machine, *, format: str, file: str) -> bytes:
    """A JSON object with what `openstack image create` and the Ansible module openstack.cloud.image take."""
    bus = machine.drives[0].bus
    told: dict[str, str] = {"hw_disk_bus": _BUSES.get(bus, bus)}
    if bus == "scsi":
        told["hw_scsi_model"] = "virtio-scsi"
    models = {nic.model for nic in machine.nics}
    if len(models) == 1 and models <= _NICS:
        told["hw_vif_model"] = models.pop()
    told["hw_firmware_type"] = machine.firmware
    if machine.arch == "x86_64":
        told["hw_machine_type"] = machine.chipset
    if machine.secure_boot:
        told["os_secure_boot"] = "required"
    if machine.tpm:
        told.update(hw_tpm_version="2.0", hw_tpm_model="tpm-crb")
    told["os_type"] = "windows" if machine.windows else "linux"
    image: dict[str, Any] = {
        "name": machine.name,
        "file": file,
        "disk_format": format,
        "container_format": "bare",
        "min_disk": -(-machine.drives[0].size // _GIB),
        "min_ram": -(-machine.memory // _MIB),
        "properties": {"architecture": machine.arch, **told},
    }
    return json.dumps(image, indent=2).encode() + b"\n"


def left_out(machine: Machine) -> list[str]:
    """What of the machine is the flavour's or the server's to say."""
    return [f"The number of CPUs ({machine.vcpus}) is a flavour's to say.", "Networks are chosen with the server."]
