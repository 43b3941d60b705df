# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OVF descriptor (DSP0243 1.1) that vSphere, Workstation and VirtualBox take."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from .machine import UEFI, Machine, Nic
from .ovf_names import (
    ADAPTERS,
    CPU,
    DISK,
    LINUX,
    MEMORY,
    NETWORK,
    NICS,
    OTHER,
    OVF,
    RASD,
    ROOM,
    STREAM_FORMAT,
    SYSTEMS,
    VBOX,
    VIRTUALBOX,
    VMW,
    VMWARE,
    VSSD,
)

# What an export says about its virtual machine if nothing else is asked for: ESXi 6.5 and all after it.
HARDWARE = 13
LEAST_HARDWARE, MOST_HARDWARE = 7, 22
# From which version on a machine has these (VMware, "Hardware features available with virtual machine compatibility settings").
_UEFI, _SECURE_BOOT, _NVME = 8, 13, 13
_VIRTUALBOX_SYSTEM = "virtualbox-2.2"
# Known to every vSphere; later names are refused by older ones.
_LINUX, _WINDOWS, _OTHER = "other3xLinux64Guest", "windows9Server64Guest", "otherGuest64"
_UNPRINTABLE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BUSES = {
    VMWARE: {"virtio": "lsilogic", "scsi": "lsilogic", "sata": "sata", "ide": "ide", "nvme": "nvme"},
    VIRTUALBOX: {"virtio": "sata", "scsi": "lsilogic", "sata": "sata", "ide": "ide", "nvme": "sata"},
}
_NIC_MODELS = {VMWARE: {"virtio": "vmxnet3"}, VIRTUALBOX: {"virtio": "e1000", "vmxnet3": "e1000", "e1000e": "e1000"}}
# The order in which CIM's schema has them, which readers that validate insist on.
_ITEM_ORDER = (
    "AddressOnParent", "AllocationUnits", "AutomaticAllocation", "Connection", "Description", "ElementName", "HostResource",
    "InstanceID", "Parent", "ResourceSubType", "ResourceType", "VirtualQuantity",
)  # fmt: skip


@dataclass(frozen=True)
class DiskFile:
    """A disk's file in the package; sizes in bytes. `populated` is how much of the disk holds data."""

    name: str
    size: int
    capacity: int
    populated: int


@dataclass(frozen=True)
class Flavour:
    """Whose words the descriptor uses, VMware's virtual hardware version, and the disks' adapter (empty: what fits the machine)."""

    dialect: str = VMWARE
    hardware: int = HARDWARE
    adapter: str = ""

    def adapter_of(self, bus: str) -> str:
        """The adapter of a disk that had the bus `bus`."""
        return self.adapter or _BUSES[self.dialect].get(bus, "lsilogic")

    def nic_of(self, model: str) -> str:
        """The model of a network card that was a `model`."""
        found = _NIC_MODELS[self.dialect].get(model, model)
        return found if found in NICS else "e1000"


def changes(machine: Machine, flavour: Flavour) -> list[str]:
    """What the descriptor has another way than the machine, one sentence each."""
    found = []
    for drive in machine.drives:
        adapter = flavour.adapter_of(drive.bus)
        if adapter != drive.bus:
            found.append(f"The disk {drive.name} is on {drive.bus}, in the export on {adapter}.")
    for number, nic in enumerate(machine.nics):
        model = flavour.nic_of(nic.model)
        if model != nic.model:
            found.append(f"Network card {number} is a {nic.model}, in the export a {model}.")
    return found


def left_out(machine: Machine, flavour: Flavour) -> list[str]:
    """What of the machine the descriptor has no words for, one sentence each."""
    found = []
    if machine.firmware == UEFI and flavour.dialect == VIRTUALBOX:
        found.append("VirtualBox doesn't take UEFI from a descriptor; switch EFI on after the import.")
    if machine.secure_boot and flavour.dialect == VIRTUALBOX:
        found.append("VirtualBox doesn't take secure boot from a descriptor; switch it on after the import.")
    if machine.tpm:
        found.append("The TPM is not in the export.")
    if machine.cdroms:
        found.append(f"{machine.cdroms} CD-ROM drives and their media are not in the export.")
    return found


def refusals(machine: Machine, flavour: Flavour) -> list[str]:
    """What of the machine this hardware version can't have; empty when it can have all."""
    if flavour.dialect != VMWARE:
        return []
    needs = []
    if machine.firmware == UEFI:
        needs.append(("UEFI", _UEFI))
    if machine.secure_boot:
        needs.append(("secure boot", _SECURE_BOOT))
    if any(flavour.adapter_of(drive.bus) == "nvme" for drive in machine.drives):
        needs.append(("NVMe", _NVME))
    return [f"{what} needs version {least} or later" for what, least in needs if flavour.hardware < least]


def descriptor(machine: Machine, disks: Sequence[DiskFile], flavour: Flavour) -> bytes:
    """The descriptor; `disks` are in the order of the machine's drives."""
    root = ElementTree.Element(_of(OVF, "Envelope"))
    if flavour.dialect == VIRTUALBOX:
        root.set(_of(OVF, "version"), "1.0")
    references = _add(root, "References")
    for number, disk in enumerate(disks, 1):
        _add(references, "File", href=disk.name, id=f"file{number}", size=str(disk.size))
    section = _section(root, "DiskSection", "Virtual disks")
    for number, disk in enumerate(disks, 1):
        _add(
            section, "Disk", capacity=str(disk.capacity), capacityAllocationUnits="byte", diskId=f"vmdisk{number}",
            fileRef=f"file{number}", format=STREAM_FORMAT, populatedSize=str(disk.populated),
        )  # fmt: skip
    _networks(root, machine)
    system = _section(root, "VirtualSystem", "A virtual machine", id=machine.name)
    _add(system, "Name", machine.name)
    if machine.description:
        _add(_section(system, "AnnotationSection", "Description"), "Annotation", machine.description)
    _operating_system(system, machine, flavour)
    _hardware(system, machine, flavour)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text + b"\n"


def _networks(root: ElementTree.Element, machine: Machine) -> None:
    section = _section(root, "NetworkSection", "Logical networks")
    for name in dict.fromkeys(_network(nic) for nic in machine.nics):
        _add(_add(section, "Network", name=name), "Description", f"The network {name}")


def _network(nic: Nic) -> str:
    return _printable(nic.network) or "default"


def _operating_system(system: ElementTree.Element, machine: Machine, flavour: Flavour) -> None:
    number, word = _system_of(machine)
    guest = _WINDOWS if machine.windows else _OTHER if number == OTHER[0] else _LINUX
    section = _section(system, "OperatingSystemSection", "The guest's system", id=str(number))
    if flavour.dialect == VIRTUALBOX:
        kind = ElementTree.SubElement(section, _of(VBOX, "OSType"), {_of(OVF, "required"): "false"})
        kind.text = word
    else:
        section.set(_of(VMW, "osType"), guest)


def _system_of(machine: Machine) -> tuple[int, str]:
    for prefix, number, word in SYSTEMS:
        if machine.os.startswith(prefix):
            return number, word
    return OTHER if machine.windows else LINUX


def _hardware(system: ElementTree.Element, machine: Machine, flavour: Flavour) -> None:
    section = _section(system, "VirtualHardwareSection", "Virtual hardware")
    kind = _VIRTUALBOX_SYSTEM if flavour.dialect == VIRTUALBOX else f"vmx-{flavour.hardware:02d}"
    about = _add(section, "System")
    for name, text in (
        ("ElementName", "Virtual Hardware Family"), ("InstanceID", "0"), ("VirtualSystemIdentifier", _printable(machine.name)),
        ("VirtualSystemType", kind),
    ):  # fmt: skip
        ElementTree.SubElement(about, _of(VSSD, name)).text = text
    items = _Items(section)
    cpu = items.add(
        CPU, ElementName=f"{machine.vcpus} virtual CPU(s)", Description="Number of virtual CPUs",
        AllocationUnits="hertz * 10^6", VirtualQuantity=str(machine.vcpus),
    )  # fmt: skip
    if machine.cores > 1 and flavour.dialect == VMWARE:
        cores = ElementTree.SubElement(cpu, _of(VMW, "CoresPerSocket"), {_of(OVF, "required"): "false"})
        cores.text = str(machine.cores)
    megabytes = -(-machine.memory // (1 << 20))
    items.add(
        MEMORY, ElementName=f"{megabytes}MB of memory", Description="Memory size", AllocationUnits="byte * 2^20",
        VirtualQuantity=str(megabytes),
    )  # fmt: skip
    _disks(items, machine, flavour)
    for number, nic in enumerate(machine.nics):
        model = NICS[flavour.nic_of(nic.model)]
        items.add(
            NETWORK, ElementName=f"Network adapter {number + 1}", Description=f"{model} ethernet adapter on {_network(nic)}",
            AddressOnParent=str(7 + number), AutomaticAllocation="true", Connection=_network(nic), ResourceSubType=model,
        )  # fmt: skip
    if flavour.dialect == VMWARE and machine.firmware == UEFI:
        _config(section, "firmware", "efi")
        _config(section, "bootOptions.efiSecureBootEnabled", "true" if machine.secure_boot else "false")


def _disks(items: _Items, machine: Machine, flavour: Flavour) -> None:
    """Controllers are added as disks need them."""
    used: dict[str, tuple[str, int]] = {}
    buses: dict[int, int] = {}
    for number, drive in enumerate(machine.drives, 1):
        adapter = flavour.adapter_of(drive.bus)
        controller, place = used.get(adapter, ("", ROOM[adapter]))
        if place >= ROOM[adapter]:
            kind, subtype = ADAPTERS[adapter]
            bus = buses.get(kind, 0)
            buses[kind] = bus + 1
            if flavour.dialect == VIRTUALBOX and adapter == "sata":
                subtype = "AHCI"
            added = items.add(
                kind, ElementName=f"{adapter} controller {bus}", Description=f"{adapter} controller", AddressOnParent=None,
                ResourceSubType=subtype, Address=str(bus),
            )  # fmt: skip
            controller, place = added.findtext(_of(RASD, "InstanceID"), ""), 0
        # SCSI's own address is left out.
        address = place + (place >= 7 and ADAPTERS[adapter][0] == 6)
        items.add(
            DISK, ElementName=f"Hard disk {number}", Description="Hard disk", AddressOnParent=str(address),
            HostResource=f"ovf:/disk/vmdisk{number}", Parent=controller,
        )  # fmt: skip
        used[adapter] = controller, place + 1


class _Items:
    """The section's items, numbered from 1 on."""

    def __init__(self, section: ElementTree.Element) -> None:
        self._section = section
        self._number = 0

    def add(self, kind: int, *, Address: str = "", **fields: str | None) -> ElementTree.Element:
        self._number += 1
        item = _add(self._section, "Item")
        if Address:
            ElementTree.SubElement(item, _of(RASD, "Address")).text = Address
        fields.update(InstanceID=str(self._number), ResourceType=str(kind))
        for name in _ITEM_ORDER:
            text = fields.get(name)
            if text is not None:
                ElementTree.SubElement(item, _of(RASD, name)).text = text
        return item


def _config(section: ElementTree.Element, key: str, value: str) -> None:
    told = {_of(OVF, "required"): "false", _of(VMW, "key"): key, _of(VMW, "value"): value}
    ElementTree.SubElement(section, _of(VMW, "Config"), told)


def _of(namespace: str, name: str) -> str:
    return f"{{{namespace}}}{name}"


def _add(parent: ElementTree.Element, tag: str, text: str | None = None, /, **attributes: str) -> ElementTree.Element:
    found = ElementTree.SubElement(
        parent, _of(OVF, tag), {_of(OVF, key): _printable(value) for key, value in attributes.items()}
    )
    found.text = None if text is None else _printable(text)
    return found


def _section(parent: ElementTree.Element, tag: str, info: str, /, **attributes: str) -> ElementTree.Element:
    found = _add(parent, tag, **attributes)
    _add(found, "Info", info)
    return found


def _printable(text: str) -> str:
    """What XML 1.0 can hold (section 2.2)."""
    return _UNPRINTABLE.sub("", text)
