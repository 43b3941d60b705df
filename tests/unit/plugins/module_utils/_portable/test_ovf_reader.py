# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
import re

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._portable.machine import Drive, Machine, Nic
from ansible_collections.imageops.fleet.plugins.module_utils._portable.ovf_reader import OvfDisk, read_descriptor

# OVF 2 has its own items for disks and network cards, each in a namespace of its own.
SECOND = """<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/2" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/2" xmlns:a="a" xmlns:b="b" xmlns:c="c">
  <References><File ovf:href="a.vmdk" ovf:id="f1" ovf:size="10"/></References>
  <DiskSection><Info/>
    <Disk ovf:capacity="20" ovf:capacityAllocationUnits="byte * 2^30" ovf:diskId="d1" ovf:fileRef="f1"/>
  </DiskSection>
  <VirtualSystem ovf:id="vs"><Info/><Name>two</Name>
    <OperatingSystemSection ovf:id="96"><Info/></OperatingSystemSection>
    <VirtualHardwareSection><Info/>
      <Item><a:InstanceID>1</a:InstanceID><a:ResourceType>3</a:ResourceType><a:VirtualQuantity>4</a:VirtualQuantity></Item>
      <Item><a:AllocationUnits>MegaBytes</a:AllocationUnits><a:ResourceType>4</a:ResourceType><a:VirtualQuantity>512</a:VirtualQuantity></Item>
      <Item><a:InstanceID>3</a:InstanceID><a:ResourceSubType>AHCI</a:ResourceSubType><a:ResourceType>20</a:ResourceType></Item>
      <StorageItem><b:HostResource>/disk/d1</b:HostResource><b:Parent>3</b:Parent><b:ResourceType>17</b:ResourceType></StorageItem>
      <EthernetPortItem><c:Connection>lan</c:Connection><c:ResourceSubType>E1000</c:ResourceSubType><c:ResourceType>10</c:ResourceType></EthernetPortItem>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>"""
# What stands in the place of a value; all of it was somebody's idea of a number, a name or a reference.
STRANGE = (
    "", "0", "-1", "1e9", "9" * 30, "\u00b2", "\u0663", "\n", "../x", "f1", "d1", "byte * 2^-1", "byte * 0^0", "byte * 10^60", "/disk/",
    "ovf:/file/f1", "3", "10", "17", "20", "6", "true", "&#0;", "&#xD800;", "x" * 300,
)  # fmt: skip


def test_the_second_version() -> None:
    found = read_descriptor(SECOND.encode(), where="x")
    drive = Drive("disk1", "sata", 20 << 30, boot=1)
    assert found.disks == (OvfDisk("a.vmdk", 10, 20 << 30, drive),)
    assert found.machine == Machine(
        "two", vcpus=4, memory=512 << 20, os="debian", drives=(drive,), nics=(Nic("e1000", "", "lan"),)
    )
    assert found.left_out == ()


@pytest.mark.parametrize("version", ["0", "3"])
def test_other_versions(version: str) -> None:
    with pytest.raises(UnsafeImage, match="no Envelope of OVF 1 or 2"):
        read_descriptor(SECOND.replace("envelope/2", f"envelope/{version}").encode(), where="x")


@pytest.mark.parametrize("seed", range(20))
def test_strange_values_are_read_or_refused(seed: int) -> None:
    chance, parts = random.Random(seed), re.split(r'(>[^<>]*<|"[^"]*")', SECOND)
    for _number in range(100):
        changed = list(parts)
        for _change in range(chance.randrange(1, 4)):
            place, value = chance.randrange(1, len(parts), 2), chance.choice(STRANGE)
            changed[place] = f">{value}<" if parts[place][0] == ">" else f'"{value}"'
        try:
            found = read_descriptor("".join(changed).encode(), where="x")
        except ImageOpsError:
            continue
        assert found.disks and found.machine.vcpus > 0
