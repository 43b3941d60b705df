# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The domain that an installer runs in: one new disk, installer media, a console that is logged, and none of it kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import hardware
from .acceleration import Acceleration
from .channel import set_channel
from .devices import new_disk, new_interface, set_console, set_flag, set_graphics, set_medium
from .firmware import set_firmware
from .xml import Element, ensure, get, put, serialise

_DESTROY, _RESTART = "destroy", "restart"


@dataclass(frozen=True)
class Hardware:
    """The machine, as the task wants it."""

    memory: int
    vcpus: int
    cpu: str
    machine: str
    arch: str
    acceleration: Acceleration
    firmware: str
    graphics: str
    network: str
    bridge: str
    log: str


@dataclass(frozen=True)
class Media:
    """What the installer comes from; `netboot` is the network that serves it, `firmware_files` are told through the firmware, by name."""

    disk: str
    driver: str
    variables: str
    kernel: str = ""
    initrd: str = ""
    arguments: str = ""
    cdroms: Sequence[str] = ()
    netboot: str = ""
    from_network: bool = False
    firmware_files: tuple[tuple[str, str], ...] = ()


def install_domain(name: str, machine: Hardware, media: Media, *, reboot_ends: bool) -> str:
    """The description; the disk boots first, so what is on it goes on where the installer restarts the machine."""
    root = hardware.skeleton(name, machine.acceleration, arch=machine.arch, machine=machine.machine)
    hardware.set_memory(root, machine.memory)
    hardware.set_vcpus(root, machine.vcpus)
    hardware.set_cpu(root, machine.cpu)
    _set_start(root, machine, media)
    put(root, "on_poweroff", _DESTROY)
    put(root, "on_reboot", _DESTROY if reboot_ends else _RESTART)
    put(root, "on_crash", _DESTROY)
    _add_disks(root, media)
    _add_interface(root, machine, media)
    set_console(root, wanted=True, log=machine.log)
    set_channel(root, wanted=True)
    if machine.graphics != "none":
        set_graphics(root, machine.graphics)
    # For pictures of failures.
    put(root, "devices/video/model/@type", "vga" if machine.arch == "x86_64" else "virtio")
    return serialise(root)


def engine_owner(capabilities: Element) -> tuple[int, int] | None:
    """User and group that the host's QEMU runs as, None where libvirt doesn't tell: then it runs as who asks."""
    for model in capabilities.findall("host/secmodel"):
        if get(model, "model") == "dac":
            user, _colon, group = get(model, "baselabel").replace("+", "").partition(":")
            if user.isdigit() and group.isdigit():
                return int(user), int(group)
    return None


def _set_start(root: Element, machine: Hardware, media: Media) -> None:
    put(root, "os/boot", None)
    if machine.firmware == "uefi":
        set_firmware(root, "uefi")
        put(root, "os/nvram", media.variables)
    elif machine.arch == "x86_64":
        # What the loader of a CD says stands in the console's log.
        put(root, "os/bios/@useserial", "yes")
    for option, value in (("kernel", media.kernel), ("initrd", media.initrd), ("cmdline", media.arguments)):
        if media.kernel and value:
            put(root, f"os/{option}", value)
    if media.firmware_files:
        told = Element("sysinfo", {"type": "fwcfg"})
        for key, path in media.firmware_files:
            told.append(Element("entry", {"name": key, "file": path}))
        root.append(told)


def _add_disks(root: Element, media: Media) -> None:
    devices = ensure(root, "devices")
    disk = new_disk(target="vda", bus="virtio", device="disk")
    set_medium(disk, media.disk, media.driver)
    put(disk, "driver/@discard", "unmap")
    if not media.kernel:
        put(disk, "boot/@order", "1")
    devices.append(disk)
    for number, path in enumerate(media.cdroms):
        cdrom = new_disk(target=f"sd{chr(ord('a') + number)}", bus="sata", device="cdrom")
        set_medium(cdrom, path, "raw")
        set_flag(cdrom, "readonly", True)
        if number == 0 and not media.kernel and not media.from_network:
            put(cdrom, "boot/@order", "2")
        devices.append(cdrom)


def _add_interface(root: Element, machine: Hardware, media: Media) -> None:
    network = media.netboot or machine.network
    if not (network or machine.bridge):
        return
    interface = new_interface(network=network, bridge=machine.bridge if not network else "", mac="", model="virtio")
    if media.from_network and not media.kernel:
        put(interface, "boot/@order", "2")
    ensure(root, "devices").append(interface)
