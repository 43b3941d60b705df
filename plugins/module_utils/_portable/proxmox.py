# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a machine as Proxmox VE's qm takes it (qm.conf(5)): one option a line, with disks to import."""

from __future__ import annotations

from collections.abc import Sequence

from .machine import UEFI, Machine

_MOST = {"virtio": 16, "scsi": 31, "sata": 6, "ide": 4}
_NICS = {"virtio", "e1000", "e1000e", "rtl8139", "vmxnet3"}
_MIB = 1 << 20


def configuration(machine: Machine, files: Sequence[str]) -> bytes:
    """Options of `qm create`; STORAGE and FOLDER stand for the storage that takes the disks, and for where the files are."""
    cores = machine.cores or machine.vcpus
    sockets = -(-machine.vcpus // cores)
    lines = [
        f"name: {host_name(machine.name)}",
        f"memory: {-(-machine.memory // _MIB)}",
        f"cores: {cores}",
        f"sockets: {sockets}",
        f"ostype: {'win11' if machine.windows else 'l26'}",
        f"bios: {'ovmf' if machine.firmware == UEFI else 'seabios'}",
        *(["machine: q35"] if machine.arch == "x86_64" and machine.chipset == "q35" else []),
        "scsihw: virtio-scsi-pci",
    ]
    if machine.firmware == UEFI:
        lines.append(f"efidisk0: STORAGE:1,efitype=4m,pre-enrolled-keys={int(machine.secure_boot)}")
    if machine.tpm:
        lines.append("tpmstate0: STORAGE:1,version=v2.0")
    places = _places(machine)
    lines += [f"{place}: STORAGE:0,import-from=FOLDER/{file}" for place, file in zip(places, files)]
    lines.append(f"boot: order={places[0]}")
    for number, nic in enumerate(machine.nics):
        model = nic.model if nic.model in _NICS else "virtio"
        lines.append(f"net{number}: {model}{f'={nic.mac.upper()}' if nic.mac else ''},bridge=vmbr0")
    return "".join(f"{line}\n" for line in lines).encode()


def host_name(name: str) -> str:
    """Proxmox takes DNS names only."""
    found = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name).strip("-")
    return found or "vm"


def _places(machine: Machine) -> list[str]:
    found, used = [], dict.fromkeys(_MOST, 0)
    for drive in machine.drives:
        bus = drive.bus if used.get(drive.bus, 99) < _MOST.get(drive.bus, 0) else "scsi"
        found.append(f"{bus}{used[bus]}")
        used[bus] += 1
    return found


def left_out(machine: Machine) -> list[str]:
    """What of the machine the options don't tell."""
    return ["Networks are Proxmox's bridges; vmbr0 stands for each."] if machine.nics else []
