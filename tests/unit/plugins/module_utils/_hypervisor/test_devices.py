# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import devices, firmware, hardware
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.sources import Layer, disks_of
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import get, parse

LIVE = """
<domain><devices>
  <disk type='file' device='disk'>
    <driver name='qemu' type='qcow2'/>
    <source file='/v/over.qcow2' index='2'/>
    <backingStore type='file' index='1'>
      <format type='qcow2'/><source file='/v/a.qcow2'/>
      <backingStore type='file' index='3'><format type='raw'/><source file='/v/base.raw'/><backingStore/></backingStore>
    </backingStore>
    <target dev='vda' bus='virtio'/>
  </disk>
  <disk type='block' device='disk'><driver type='raw'/><source dev='/dev/sdx'/><target dev='vdb' bus='virtio'/></disk>
  <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
</devices></domain>
"""


def test_chains_of_a_running_domain() -> None:
    first, second, third = disks_of(parse(LIVE))
    assert first.chain == (Layer("/v/over.qcow2", "qcow2"), Layer("/v/a.qcow2", "qcow2"), Layer("/v/base.raw", "raw"))
    assert (second.path, second.format, second.chain) == ("/dev/sdx", "raw", (Layer("/dev/sdx", "raw"),))
    assert (third.path, third.device, third.readonly, third.chain) == ("", "cdrom", True, ())


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        ("pc-q35-7.2", "q35", True),
        ("pc-i440fx-7.2", "pc", True),
        ("pc-q35-rhel9.2.0", "q35", False),
        ("pc-q35-7.2", "pc", False),
        ("pc-q35-7.2", "pc-q35-7.2", True),
        ("virt-7.2", "virt", True),
        ("pc-q35-7.2", "pc-q35-10.0", False),
    ],
)
def test_same_machine(found: str, wanted: str, same: bool) -> None:
    assert hardware.same_machine(found, wanted) is same


@pytest.mark.parametrize(
    ("unit", "text", "size"), [("KiB", "1024", 1 << 20), ("MiB", "64", 64 << 20), ("GiB", "1", 1 << 30)]
)
def test_memory(unit: str, text: str, size: int) -> None:
    root = parse(f"<domain><memory unit='{unit}'>{text}</memory></domain>")
    assert hardware.memory(root) == size
    hardware.set_memory(root, size)
    assert get(root, "memory/@unit") == unit
    hardware.set_memory(root, size * 2)
    assert (hardware.memory(root), get(root, "currentMemory")) == (size * 2, str(size * 2 // 1024))


def test_vcpus_take_what_contradicts_along() -> None:
    root = parse("<domain><vcpu current='1'>2</vcpu><cpu mode='maximum'><topology cores='2'/></cpu></domain>")
    hardware.set_vcpus(root, 2)
    assert get(root, "vcpu/@current") == "1"
    hardware.set_vcpus(root, 4)
    assert (get(root, "vcpu"), get(root, "vcpu/@current"), root.find("cpu/topology")) == ("4", "", None)


@pytest.mark.parametrize("wanted", ["host-passthrough", "maximum", "Nehalem", "default"])
def test_cpu(wanted: str) -> None:
    root = parse("<domain><cpu mode='host-model'/></domain>")
    hardware.set_cpu(root, wanted)
    assert hardware.cpu(root) == wanted


def test_firmware_there_and_back() -> None:
    root = parse("<domain><os><type>hvm</type></os></domain>")
    firmware.set_firmware(root, "uefi")
    assert firmware.firmware(root) == "uefi"
    assert get(root, "os/firmware/feature[@name='secure-boot']/@enabled") == "no"
    firmware.set_firmware(root, "bios")
    assert [child.tag for child in root.findall("os/*")] == ["type"]
    assert root.find("os") is not None and not root.findall("os")[0].attrib


@pytest.mark.parametrize(("number", "name"), [(0, "vda"), (25, "vdz"), (26, "vdaa"), (27, "vdab")])
def test_target_name(number: int, name: str) -> None:
    assert devices.target_name("virtio", number) == name


def test_console_is_logged_and_a_log_stays() -> None:
    root = parse("<domain><devices><serial type='pty'><target port='0'/></serial></devices></domain>")
    devices.set_console(root, wanted=True, log="/l/a.log")
    devices.set_console(root, wanted=True, log="/l/b.log")
    assert devices.log_of(root) == "/l/a.log"
    assert get(root, "devices/serial/log/@append") == "off"
    devices.set_console(root, wanted=False, log="")
    assert not root.findall("devices/*")


def test_uplinks() -> None:
    element = devices.new_interface(network="default", bridge="", mac="52:54:00:00:00:01", model="virtio")
    assert devices.uplink(element) == {"network": "default", "mac": "52:54:00:00:00:01", "model": "virtio"}
    devices.set_uplink(element, network="", bridge="br0")
    assert devices.uplink(element) == {"bridge": "br0", "mac": "52:54:00:00:00:01", "model": "virtio"}
