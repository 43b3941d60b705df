# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine as platforms exchange it: what it is, without any platform's own words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

BIOS, UEFI = "bios", "uefi"
# How a disk is attached. A virtio disk has a device of its own, the others share controllers.
BUSES = ("virtio", "scsi", "sata", "ide", "nvme")


@dataclass(frozen=True)
class Drive:
    """A disk: its name in the export, how it is attached, its size in bytes, and where the machine looks for a system (0: nowhere)."""

    name: str
    bus: str = "virtio"
    size: int = 0
    boot: int = 0


@dataclass(frozen=True)
class Nic:
    """A network card: its model (virtio, e1000, e1000e, rtl8139, vmxnet3), its address, and what it is connected to."""

    model: str = "virtio"
    mac: str = ""
    network: str = ""


@dataclass(frozen=True)
class Machine:
    """The machine; memory in bytes. `os` is libosinfo's short id such as debian12, empty when unknown. `chipset` is q35 or pc."""

    name: str
    vcpus: int = 1
    memory: int = 1 << 30
    firmware: str = BIOS
    secure_boot: bool = False
    tpm: bool = False
    arch: str = "x86_64"
    chipset: str = "q35"
    os: str = ""
    description: str = ""
    cores: int = 0
    drives: tuple[Drive, ...] = ()
    nics: tuple[Nic, ...] = ()
    cdroms: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as a job carries them and results show them."""
        found = asdict(self)
        return {**found, "drives": list(found["drives"]), "nics": list(found["nics"])}

    @property
    def windows(self) -> bool:
        """Whether the guest is a Windows."""
        return self.os.startswith("win")

    def with_sizes(self, sizes: Mapping[str, int]) -> Machine:
        """The machine with the disks' sizes."""
        return replace(self, drives=tuple(replace(one, size=sizes.get(one.name, one.size)) for one in self.drives))


def kept_state(machine: Machine) -> list[str]:
    """What the host keeps for the machine and no export takes along, one sentence each."""
    found = []
    if machine.firmware == UEFI:
        found.append("The UEFI variables, such as boot entries and enrolled keys, are not in the export.")
    if machine.tpm:
        found.append("The TPM's state is not in the export; what the guest sealed in it can't be opened there.")
    return found


def machine_of(told: Mapping[str, Any]) -> Machine:
    """The machine of its plain values."""
    return Machine(
        **{
            **told,
            "drives": tuple(Drive(**one) for one in told["drives"]),
            "nics": tuple(Nic(**one) for one in told["nics"]),
        }
    )
