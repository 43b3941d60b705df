# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.portable import left_out, machine_of_domain
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import parse
from ansible_collections.imageops.fleet.plugins.module_utils._portable.machine import Drive, Machine, Nic

DOMAIN = """
<domain type='kvm'>
  <name>web</name>
  <description>the shop</description>
  <metadata>
    <libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>
      <libosinfo:os id='http://debian.org/debian/12'/>
    </libosinfo:libosinfo>
  </metadata>
  <memory unit='KiB'>2097152</memory>
  <vcpu>4</vcpu>
  <os firmware='efi'>
    <type arch='x86_64' machine='pc-q35-7.2'>hvm</type>
    <firmware><feature enabled='yes' name='secure-boot'/></firmware>
  </os>
  <cpu mode='host-passthrough'><topology sockets='2' cores='2' threads='1'/></cpu>
  <devices>
    <disk type='file' device='disk'><target dev='vda' bus='virtio'/><boot order='1'/></disk>
    <disk type='file' device='disk'><target dev='sdb' bus='usb'/></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
    <interface type='network'><mac address='52:54:00:AA:00:01'/><source network='lan'/><model type='virtio'/></interface>
    <interface type='bridge'><source bridge='br0'/><model type='e1000'/>{vlan}</interface>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
    {devices}
  </devices>
  {parts}
</domain>
"""


def domain(*, devices: str = "", parts: str = "", vlan: str = "") -> str:
    return DOMAIN.format(devices=devices, parts=parts, vlan=vlan)


def test_a_domain_becomes_a_machine() -> None:
    assert machine_of_domain(parse(domain()), ["vda", "sdb"]) == Machine(
        "web",
        vcpus=4,
        memory=2 << 30,
        firmware="uefi",
        secure_boot=True,
        tpm=True,
        os="debian12",
        description="the shop",
        cores=2,
        drives=(Drive("vda", "virtio", boot=1), Drive("sdb", "sata")),
        nics=(Nic("virtio", "52:54:00:aa:00:01", "lan"), Nic("e1000", "", "br0")),
        cdroms=1,
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, []),
        ({"devices": "<hostdev/><hostdev/>"}, ["Devices of the host are not in the export (2)."]),
        ({"devices": "<redirdev/>"}, ["Redirected USB devices are not in the export (1)."]),
        ({"devices": "<newdevice/>"}, ["Devices <newdevice> are not in the export (1)."]),
        ({"devices": "<watchdog model='itco'/>"}, []),
        (
            {"parts": "<memoryBacking><hugepages/></memoryBacking>"},
            ["Huge pages and sharing of memory are not in the export."],
        ),
        ({"parts": "<cputune/>"}, ["Pinning and weights of CPUs are not in the export."]),
        ({"vlan": "<vlan><tag id='7'/></vlan>"}, ["The VLAN 7 of a network card is not in the export."]),
    ],
)
def test_what_has_no_words_is_told(given: dict[str, str], says: list[str]) -> None:
    assert list(left_out(parse(domain(**given)))) == says


def test_old_chipsets_and_unknown_systems() -> None:
    text = "<domain><name>x</name><memory>1024</memory><os><type machine='pc-i440fx-9.0'>hvm</type></os><devices/></domain>"
    found = machine_of_domain(parse(text), [])
    assert (found.chipset, found.os, found.firmware, found.memory, found.cores) == ("pc", "", "bios", 1 << 20, 0)
