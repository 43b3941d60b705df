# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A domain's XML as a portable machine: what other platforms have words for, and a list of what they haven't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from .._portable.machine import BUSES, Drive, Machine, Nic
from . import hardware
from .devices import boot_order, uplink
from .firmware import firmware, secure_boot
from .tpm import has_tpm
from .xml import Element, get

_OS = "metadata/{http://libosinfo.org/xmlns/libvirt/domain/1.0}libosinfo/{http://libosinfo.org/xmlns/libvirt/domain/1.0}os/@id"
# What each platform gives a machine in its own way, or what says only how this host shows and runs it.
_COMMON = {
    "emulator", "controller", "disk", "interface", "input", "graphics", "video", "console", "serial", "channel", "memballoon", "rng",
    "tpm", "audio",
}  # fmt: skip
_DEVICES = {
    "hostdev": "devices of the host",
    "redirdev": "redirected USB devices",
    "filesystem": "shared folders",
    "watchdog": "watchdogs",
    "vsock": "vsock devices",
    "shmem": "shared memory",
    "sound": "sound cards",
    "smartcard": "smart card readers",
    "parallel": "parallel ports",
    "memory": "memory modules",
    "iommu": "IOMMUs",
    "panic": "panic devices",
    "hub": "USB hubs",
}
_PARTS = {
    "cputune": "pinning and weights of CPUs",
    "numatune": "NUMA placement",
    "memoryBacking": "huge pages and sharing of memory",
    "memtune": "limits of memory",
    "blkiotune": "weights of disks",
    "iothreads": "I/O threads",
    "launchSecurity": "memory encryption",
    "sysinfo": "SMBIOS texts",
    "idmap": "mapped users",
    "keywrap": "key wrapping",
    "genid": "the generation ID",
}


def machine_of_domain(root: Element, targets: Sequence[str]) -> Machine:
    """The machine; `targets` are the disks that go with it."""
    chipset = "pc" if "i440fx" in hardware.machine(root) or hardware.machine(root) == "pc" else "q35"
    disks = {get(disk, "target/@dev"): disk for disk in root.iterfind("devices/disk")}
    return Machine(
        name=get(root, "name"),
        vcpus=hardware.vcpus(root),
        memory=hardware.memory(root),
        firmware=firmware(root),
        secure_boot=secure_boot(root),
        tpm=has_tpm(root),
        arch=get(root, "os/type/@arch", "x86_64"),
        chipset=chipset,
        os=_system(get(root, _OS)),
        description=get(root, "description") or get(root, "title"),
        cores=_cores(root),
        drives=tuple(_drive(disks[target], target) for target in targets),
        nics=tuple(_nic(interface) for interface in root.iterfind("devices/interface")),
        cdroms=sum(disk.get("device") == "cdrom" for disk in disks.values()),
    )


def _drive(disk: Element, name: str) -> Drive:
    bus = get(disk, "target/@bus")
    if get(disk, "target/@bus") == "usb" or bus not in BUSES:
        bus = "sata"
    return Drive(name, bus, boot=boot_order(disk) or 0)


def _nic(interface: Element) -> Nic:
    found = uplink(interface)
    model = str(found.get("model", "virtio"))
    name = found.get("network") or found.get("bridge") or get(interface, "source/@dev")
    return Nic("virtio" if model.startswith("virtio") else model, str(found.get("mac", "")), str(name))


def _cores(root: Element) -> int:
    text = get(root, "cpu/topology/@cores", "0")
    return int(text) if text.isdecimal() and len(text) < 5 else 0


def _system(identifier: str) -> str:
    """libosinfo's short id of an address such as http://debian.org/debian/12; its last two parts."""
    parts = [part for part in urlsplit(identifier).path.split("/") if part]
    return "".join(parts[-2:]).lower()[:40]


def left_out(root: Element) -> Iterator[str]:
    """What of the domain no portable machine has, one sentence each."""
    devices = Counter(device.tag for device in root.iterfind("devices/*"))
    for tag, count in sorted(devices.items()):
        if tag == "watchdog" and get(root, "devices/watchdog/@model") == "itco":
            continue
        if tag not in _COMMON:
            what = _DEVICES.get(tag, f"devices <{tag}>")
            yield f"{what[0].upper()}{what[1:]} are not in the export ({count})."
    for tag, what in _PARTS.items():
        if root.find(tag) is not None:
            yield f"{what[0].upper()}{what[1:]} are not in the export."
    mode = hardware.cpu(root)
    if mode not in ("default", "host-passthrough", "host-model", "maximum"):
        yield f"The processor's model ({mode}) is not in the export."
    for interface in root.iterfind("devices/interface"):
        if get(interface, "vlan/tag/@id"):
            yield f"The VLAN {get(interface, 'vlan/tag/@id')} of a network card is not in the export."
    if root.find("os/kernel") is not None:
        yield "The kernel that the host starts directly is not in the export; the guest must have a boot loader."
