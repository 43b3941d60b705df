# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._portable import proxmox
from ansible_collections.imageops.fleet.plugins.module_utils._portable.machine import Drive, Machine, Nic


def lines(machine: Machine) -> list[str]:
    files = [f"disk{number}.qcow2" for number in range(len(machine.drives))]
    return proxmox.configuration(machine, files).decode().splitlines()


def test_a_machine_is_told_by_options_of_qm() -> None:
    machine = Machine(
        "the shop", vcpus=4, cores=2, memory=(1 << 30) + 1, firmware="uefi", secure_boot=True, tpm=True,
        drives=(Drive("vda"), Drive("sda", "sata"), Drive("nvme0", "nvme")), nics=(Nic("virtio", "52:54:00:aa:00:01"),),
    )  # fmt: skip
    assert lines(machine) == [
        "name: the-shop",
        "memory: 1025",
        "cores: 2",
        "sockets: 2",
        "ostype: l26",
        "bios: ovmf",
        "machine: q35",
        "scsihw: virtio-scsi-pci",
        "efidisk0: STORAGE:1,efitype=4m,pre-enrolled-keys=1",
        "tpmstate0: STORAGE:1,version=v2.0",
        "virtio0: STORAGE:0,import-from=FOLDER/disk0.qcow2",
        "sata0: STORAGE:0,import-from=FOLDER/disk1.qcow2",
        "scsi0: STORAGE:0,import-from=FOLDER/disk2.qcow2",
        "boot: order=virtio0",
        "net0: virtio=52:54:00:AA:00:01,bridge=vmbr0",
    ]


@pytest.mark.parametrize(("arch", "told"), [("x86_64", True), ("aarch64", False)])
def test_a_chipset_is_one_of_x86(arch: str, told: bool) -> None:
    assert ("machine: q35" in lines(Machine("web", arch=arch, drives=(Drive("vda"),)))) == told


def test_what_is_no_host_name() -> None:
    assert proxmox.host_name("Käse: a\nmemory: 1") == "K-se--a-memory--1"
    assert proxmox.host_name("-") == "vm"
