# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Vagrant box for the provider libvirt (vagrant-libvirt, "Box format"): metadata.json, Vagrantfile, and the disks as qcow2."""

from __future__ import annotations

import json
from typing import Any

from .machine import UEFI, Machine

_GIB, _MIB = 1 << 30, 1 << 20
_BUSES = {"nvme": "virtio"}


def disk_name(number: int, count: int) -> str:
    """A box of one disk calls it box.img, which all versions of the provider know; several are named by the metadata."""
    return "box.img" if count == 1 else f"box_{number + 1}.img"


def metadata(machine: Machine) -> bytes:
    """The first version of the format tells of one disk; the second (vagrant-libvirt 0.6) lists them. Sizes are whole GB, rounded up."""
    count = len(machine.drives)
    sizes = [max(1, -(-drive.size // _GIB)) for drive in machine.drives]
    told: dict[str, Any] = {"provider": "libvirt", "format": "qcow2", "virtual_size": sizes[0]}
    if machine.arch:
        told["architecture"] = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine.arch, machine.arch)
    if count > 1:
        told["disks"] = [{"path": disk_name(number, count), "format": "qcow2"} for number in range(count)]
    return json.dumps(told, indent=2).encode() + b"\n"


def vagrantfile(machine: Machine) -> bytes:
    """What the box sets for the machines that are made from it."""
    bus = machine.drives[0].bus
    lines = [
        f"cpus = {machine.vcpus}",
        f"memory = {-(-machine.memory // _MIB)}",
        f'disk_bus = "{_BUSES.get(bus, bus)}"',
        *([f'machine_type = "{machine.chipset}"'] if machine.arch == "x86_64" else []),
        *([f'nic_model_type = "{machine.nics[0].model}"'] if machine.nics else []),
        *(['loader = "/usr/share/OVMF/OVMF_CODE.fd"'] if machine.firmware == UEFI else []),
    ]
    body = "".join(f"    libvirt.{line}\n" for line in lines)
    return (
        f'Vagrant.configure("2") do |config|\n  config.vm.provider :libvirt do |libvirt|\n{body}  end\nend\n'.encode()
    )


def left_out(machine: Machine) -> list[str]:
    """What of the machine a box doesn't tell."""
    found = ["Networks and addresses are the Vagrantfile's of whoever uses the box."] if machine.nics else []
    if machine.firmware == UEFI:
        found.append("The path of the firmware may differ on other hosts.")
    if machine.tpm:
        found.append("The TPM is not in the export.")
    return found
