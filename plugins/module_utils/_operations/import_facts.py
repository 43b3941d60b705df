# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an import tells: the machine, the options by which the module vm makes it, and what neither has."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from .._portable.machine import UEFI, Machine, machine_of
from .import_request import ImportRequest

# Every system has a driver of AHCI; a guest of another platform may have none of virtio.
_SAFE_BUS = "sata"
_KEPT_BUSES = ("virtio", "sata")


@dataclass(frozen=True)
class Written:
    """A disk of the import: its file's name, and its bytes (0: not known yet)."""

    name: str
    size: int


@dataclass(frozen=True)
class Imported:
    """What an import found: the machine, its disks, sentences on what the package has besides, and what proves it."""

    machine: Machine
    disks: tuple[Written, ...]
    left_out: tuple[str, ...] = ()
    proven: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As a record keeps it."""
        return {
            "machine": self.machine.as_dict(),
            "disks": [[disk.name, disk.size] for disk in self.disks],
            "left_out": list(self.left_out),
            "proven": dict(self.proven),
        }


def imported_of(told: Mapping[str, Any]) -> Imported:
    """What a record keeps."""
    disks = tuple(Written(name, size) for name, size in told["disks"])
    proven = {name: bool(told["proven"][name]) for name in ("manifest", "signed") if name in told["proven"]}
    return Imported(machine_of(told["machine"]), disks, tuple(told["left_out"]), proven)


def facts_of(request: ImportRequest, found: Imported) -> dict[str, Any]:
    """What the result tells of the import."""
    machine, disks = found.machine, found.disks
    altered = []
    told = []
    lost = list(found.left_out)
    for number, (drive, disk) in enumerate(zip(machine.drives, disks)):
        bus = request.bus or (drive.bus if drive.bus in _KEPT_BUSES else _SAFE_BUS)
        if bus != drive.bus:
            altered.append(f"Disk {number + 1} was on {drive.bus}, and is on {bus} here.")
        told.append(
            {"path": os.path.join(request.dest, disk.name), "format": request.format, "size": disk.size, "bus": bus}
        )
    networks = [{"network": request.network, "model": nic.model} for nic in machine.nics if request.network]
    if machine.nics and not request.network:
        lost.append(
            f"{len(machine.nics)} network cards are left out ({', '.join(sorted({nic.network or 'no name' for nic in machine.nics}))}); "
            f"name a network of this host by 'network'."
        )
    if machine.firmware == UEFI:
        lost.append("UEFI's variables, such as boot entries, were not in it; the firmware begins with its defaults.")
    if machine.cdroms:
        lost.append(f"{machine.cdroms} CD-ROM drives are not taken over.")
    sized = replace(
        machine,
        name=machine.name or "vm",
        drives=tuple(replace(drive, size=disk.size or drive.size) for drive, disk in zip(machine.drives, disks)),
    )
    return {
        "dest": request.dest,
        "src": request.src,
        "name": sized.name,
        "disks": told,
        "machine": sized.as_dict(),
        "vm": _vm(sized, told, networks),
        "left_out": lost,
        "altered": altered,
        **found.proven,
    }


def _vm(machine: Machine, disks: Sequence[dict[str, Any]], networks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Options of the module vm."""
    return {
        "name": machine.name,
        "memory": str(machine.memory),
        "vcpus": machine.vcpus,
        "firmware": machine.firmware,
        **({"secure_boot": machine.secure_boot} if machine.firmware == UEFI else {}),
        **({"description": machine.description} if machine.description else {}),
        "disks": [
            {"path": disk["path"], "format": disk["format"], "bus": disk["bus"], **({"boot": 1} if number == 0 else {})}
            for number, disk in enumerate(disks)
        ],
        **({"networks": list(networks)} if networks else {}),
    }
