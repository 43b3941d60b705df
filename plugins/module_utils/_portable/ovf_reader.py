# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OVF descriptor of versions 1 and 2 (DSP0243) as a portable machine; vendors differ, so unknown parts are passed over and told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import UnsafeImage, Unsupported
from .machine import BIOS, UEFI, Drive, Machine, Nic
from .ovf_names import CDROM, CPU, DISK, IDE, MEMORY, NETWORK, OVF, OVF2, SATA, SCSI, SYSTEMS, VMW
from .xml_reader import Element, parse

_MOST_DISKS, _MOST_NICS = 64, 64
_MOST_CPUS, _MOST_MEMORY, _MOST_SIZE = 4096, 1 << 44, 64 << 40
_UNITS = re.compile(r"\s*byte\s*(?:\*\s*(\d{1,4})\s*\^\s*(\d{1,2})\s*)?", re.IGNORECASE)
_WORDS = {
    "": 1,
    "b": 1,
    "bytes": 1,
    "kilobytes": 1 << 10,
    "megabytes": 1 << 20,
    "gigabytes": 1 << 30,
    "kb": 1 << 10,
    "mb": 1 << 20,
    "gb": 1 << 30,
}
_CONTROLLER_BUSES = {IDE: "ide", SCSI: "scsi", SATA: "sata"}
_MODELS = {
    "vmxnet3": "vmxnet3",
    "vmxnet": "vmxnet3",
    "vmxnet2": "vmxnet3",
    "e1000": "e1000",
    "e1000e": "e1000e",
    "virtio": "virtio",
}
_KNOWN = {CPU, MEMORY, IDE, SCSI, SATA, NETWORK, DISK, CDROM}
# What these numbers of hardware are, for people.
_OTHERS = {
    1: "other devices",
    14: "floppy drives",
    16: "CD-ROM drives",
    21: "serial ports",
    22: "parallel ports",
    23: "USB controllers",
    24: "graphics cards",
    35: "sound cards",
}
_NO_PROBLEM = {24}


@dataclass(frozen=True)
class OvfDisk:
    """A disk of the machine: the file that holds it, the file's size (-1: not told), and the disk's size, both in bytes."""

    file: str
    file_size: int
    capacity: int
    drive: Drive


@dataclass(frozen=True)
class Package:
    """What a descriptor tells. `left_out` are sentences on what has no words here."""

    machine: Machine
    disks: tuple[OvfDisk, ...]
    left_out: tuple[str, ...]


def read_descriptor(data: bytes, *, where: str) -> Package:
    """What the descriptor tells; raises UnsafeImage for what contradicts itself, Unsupported for what can't be taken."""
    return _Reader(parse(data, where=where), where).package()


class _Reader:
    def __init__(self, root: Element, where: str) -> None:
        self._root = root
        self._where = where
        self._namespace = OVF2 if root.tag == f"{{{OVF2}}}Envelope" else OVF
        if root.tag != f"{{{self._namespace}}}Envelope":
            raise self._unsafe("its root is no Envelope of OVF 1 or 2")

    def _of(self, name: str) -> str:
        return f"{{{self._namespace}}}{name}"

    def _get(self, element: Element, name: str) -> str:
        return (element.get(self._of(name)) or element.get(name) or "").strip()

    def package(self) -> Package:
        systems = list(self._root.iter(self._of("VirtualSystem")))
        if len(systems) != 1:
            raise Unsupported(f"{self._where} describes {len(systems)} machines, and one is imported; split it first.")
        system = systems[0]
        hardware = system.find(self._of("VirtualHardwareSection"))
        if hardware is None:
            raise self._unsafe("it describes no hardware")
        items = [self._item(item) for item in hardware if item.tag.rpartition("}")[2] in _ITEMS]
        firmware, secure = self._firmware(system)
        disks = tuple(self._disks(items))
        name = self._text(system, "Name") or self._get(system, "id") or "vm"
        machine = Machine(
            name=name[:200],
            vcpus=self._cpus(items),
            memory=self._memory(items),
            firmware=firmware,
            secure_boot=secure,
            chipset="q35",
            os=self._system(system),
            description=self._text(system, "AnnotationSection/Annotation")[:8192],
            drives=tuple(disk.drive for disk in disks),
            nics=tuple(self._nics(items)),
            cdroms=sum(item.kind in (CDROM, 16) for item in items),
        )
        return Package(machine, disks, tuple(self._left_out(items, hardware)))

    def _text(self, element: Element, path: str) -> str:
        found = element.find("/".join(self._of(step) for step in path.split("/")))
        return (found.text or "").strip() if found is not None else ""

    def _item(self, element: Element) -> _Item:
        told: dict[str, str] = {}
        for child in element:
            told.setdefault(child.tag.rpartition("}")[2], (child.text or "").strip())
        kind = self._number(told.get("ResourceType", "0"), "ResourceType", most=1 << 16)
        return _Item(kind, told)

    def _number(self, text: str, what: str, *, most: int) -> int:
        if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > most:
            raise self._unsafe(f"its {what} is {text[:40]!a}")
        return int(text)

    def _cpus(self, items: list[_Item]) -> int:
        found = [item for item in items if item.kind == CPU]
        count = self._number(found[0].get("VirtualQuantity"), "number of CPUs", most=_MOST_CPUS) if found else 1
        if count < 1:
            raise self._unsafe("its number of CPUs is 0")
        return count

    def _memory(self, items: list[_Item]) -> int:
        found = [item for item in items if item.kind == MEMORY]
        if not found:
            return 1 << 30
        unit = found[0].get("AllocationUnits") or "byte * 2^20"
        size = self._number(found[0].get("VirtualQuantity"), "memory", most=_MOST_MEMORY) * self._factor(unit)
        if not 1 << 20 <= size <= _MOST_MEMORY:
            raise self._unsafe(f"its memory is {size} bytes")
        return size

    def _factor(self, unit: str) -> int:
        match = _UNITS.fullmatch(unit)
        if match:
            base, power = int(match[1] or 1), int(match[2] or 0)
            if base not in (1, 2, 10) or power > 60:
                raise self._unsafe(f"it counts in {unit[:40]!a}")
            return int(base**power)
        if unit.strip().lower() not in _WORDS:
            raise self._unsafe(f"it counts in {unit[:40]!a}")
        return _WORDS[unit.strip().lower()]

    def _firmware(self, system: Element) -> tuple[str, bool]:
        told = {one.get(f"{{{VMW}}}key"): one.get(f"{{{VMW}}}value") for one in system.iter(f"{{{VMW}}}Config")}
        if told.get("firmware") == "efi":
            return UEFI, told.get("bootOptions.efiSecureBootEnabled") == "true"
        boxes = [one for one in system.iter() if one.tag.rpartition("}")[2] == "Firmware"]
        return (
            (UEFI, False) if any(str(one.get("type", "")).upper().startswith("EFI") for one in boxes) else (BIOS, False)
        )

    def _system(self, system: Element) -> str:
        section = system.find(self._of("OperatingSystemSection"))
        number = self._get(section, "id") if section is not None else ""
        word = (section.get(f"{{{VMW}}}osType") or "").lower() if section is not None else ""
        if word.startswith("win") or number in ("113", "115", "117"):
            return "win"
        # Only those that one number means.
        counted = Counter(one[1] for one in SYSTEMS)
        found = [prefix for prefix, one, _word in SYSTEMS if str(one) == number and counted[one] == 1]
        return found[0] if found else ""

    def _disks(self, items: list[_Item]) -> Iterator[OvfDisk]:
        files = self._unique("References/File", "id")
        disks = self._unique("DiskSection/Disk", "diskId")
        controllers = {item.get("InstanceID"): item for item in items if item.kind in _CONTROLLER_BUSES}
        wanted = [item for item in items if item.kind == DISK]
        if not wanted:
            raise Unsupported(f"{self._where} describes a machine without disks, so there is nothing to import.")
        if len(wanted) > _MOST_DISKS:
            raise self._unsafe(f"it has more than {_MOST_DISKS} disks")
        used: set[str] = set()
        for number, item in enumerate(wanted):
            name = re.fullmatch(r"(?:ovf:)?/(disk|file)/(.{1,255})", item.get("HostResource"))
            if not name:
                raise self._unsafe(f"a disk is {item.get('HostResource')[:80]!a}, which names none of its disks")
            capacity, reference = 0, name[2]
            if name[1] == "disk":
                disk = disks.get(name[2])
                if disk is None:
                    raise self._unsafe(f"it has no disk {name[2][:80]!a}")
                if self._get(disk, "parentRef"):
                    raise Unsupported(f"{self._where} has a disk that rests on another one; export it as a whole disk.")
                unit = self._get(disk, "capacityAllocationUnits") or "byte"
                capacity = self._number(self._get(disk, "capacity"), "capacity", most=_MOST_SIZE) * self._factor(unit)
                if not 0 < capacity <= _MOST_SIZE:
                    raise self._unsafe(f"a disk has {capacity} bytes")
                reference = self._get(disk, "fileRef")
            file = files.get(reference)
            if file is None:
                raise Unsupported(
                    f"{self._where} has a disk without content ({name[2][:80]!a}); make one with imageops.fleet.disk."
                )
            href = self._href(file)
            if href in used:
                raise self._unsafe(f"two disks are in {href!a}")
            used.add(href)
            size = self._get(file, "size")
            yield OvfDisk(
                href, self._number(size, "size of a file", most=_MOST_SIZE) if size else -1, capacity,
                Drive(f"disk{number + 1}", self._bus(item, controllers), capacity, boot=1 if number == 0 else 0),
            )  # fmt: skip

    def _unique(self, path: str, key: str) -> dict[str, Element]:
        found: dict[str, Element] = {}
        for element in self._root.findall("/".join(self._of(step) for step in path.split("/"))):
            name = self._get(element, key)
            if not name or name in found:
                raise self._unsafe(f"its {path.rpartition('/')[2]} {name[:80]!a} is there twice, or has no name")
            found[name] = element
        return found

    def _href(self, file: Element) -> str:
        href = self._get(file, "href")
        if self._get(file, "chunkSize") or self._get(file, "compression") not in ("", "identity"):
            raise Unsupported(
                f"{self._where} has the file {href[:80]!a} in pieces or compressed; join or unpack it first."
            )
        if not is_plain_name(href):
            raise self._unsafe(f"it names the file {href[:80]!a}, which is not one beside it")
        return href

    def _bus(self, item: _Item, controllers: dict[str, _Item]) -> str:
        controller = controllers.get(item.get("Parent"))
        if controller is None:
            return "scsi"
        if "nvme" in controller.get("ResourceSubType").lower():
            return "nvme"
        if controller.get("ResourceSubType").lower().startswith("virtio"):
            return "virtio"
        return _CONTROLLER_BUSES[controller.kind]

    def _nics(self, items: list[_Item]) -> Iterator[Nic]:
        found = [item for item in items if item.kind == NETWORK]
        if len(found) > _MOST_NICS:
            raise self._unsafe(f"it has more than {_MOST_NICS} network cards")
        for item in found:
            yield Nic(_MODELS.get(item.get("ResourceSubType").lower(), "e1000"), "", item.get("Connection")[:200])

    def _left_out(self, items: list[_Item], hardware: Element) -> Iterator[str]:
        others = Counter(item.kind for item in items if item.kind not in _KNOWN | _NO_PROBLEM)
        for kind, count in sorted(others.items()):
            what = _OTHERS.get(kind, f"devices of type {kind}")
            yield f"{what[0].upper()}{what[1:]} are not taken over ({count})."
        if self._root.find(self._of("DeploymentOptionSection")) is not None:
            yield "Deployment options are not taken over; the default hardware is."
        if any(True for _one in self._root.iter(self._of("ProductSection"))):
            yield "Properties of products (vApp) are not handed to the guest."
        if any(True for _one in self._root.iter(self._of("EulaSection"))):
            yield "The licence agreement was not shown."

    def _unsafe(self, why: str) -> UnsafeImage:
        return UnsafeImage(f"The descriptor of {self._where} can't be used: {why}.")


# OVF 2 has items of their own for disks and network cards.
_ITEMS = {"Item", "StorageItem", "EthernetPortItem"}


@dataclass(frozen=True)
class _Item:
    """A piece of hardware: its number, and what is told of it by name."""

    kind: int
    told: dict[str, str]

    def get(self, name: str) -> str:
        return self.told.get(name, "")


def is_plain_name(name: str) -> bool:
    """Whether a name means a file in the very folder or archive that names it, on every system."""
    return (
        0 < len(name.encode("utf-8", "replace")) <= 255
        and name not in (".", "..")
        and not re.search(r"[/\\:\x00-\x1f\x7f\ud800-\udfff]", name)
    )
