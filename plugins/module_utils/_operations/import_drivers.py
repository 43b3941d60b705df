# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests that lack drivers for what this host gives them: virt-v2v changes the guest itself, and we only hand it the disks."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Sequence

from .._commands import require_program
from .._errors import EngineError
from .._files import write_bytes
from .._hypervisor.acceleration import kvm_obstacle
from .._hypervisor.sources import disks_of
from .._hypervisor.xml import Element, parse, put, serialise
from .._portable.machine import UEFI, Machine
from .._qemu.guestfs import Guestfs

PROGRAM = "virt-v2v"
# By which it reads and copies disks; Debian's package only recommends them.
_BESIDE = ("nbdkit", "nbdcopy")
# A large guest on an emulated processor takes hours.
_MOST_SECONDS = 86400


def require_programs() -> None:
    """Raise MissingLibrary when virt-v2v, or what it needs, isn't installed."""
    for name in (PROGRAM, *_BESIDE):
        require_program(name)


def convert(machine: Machine, files: Sequence[str], format: str, lock: int) -> list[str]:
    """Let virt-v2v bring drivers into the guest on the disks `files`, which it writes anew; how each is attached from now on.

    Raises EngineError with what virt-v2v says, such as that it doesn't know the guest's system.
    """
    folder = os.path.dirname(files[0])
    out, described = os.path.join(folder, ".converted"), os.path.join(folder, ".described.xml")
    os.mkdir(out, 0o700)
    write_bytes(described, serialise(description(machine, files, format)).encode())
    words = [
        PROGRAM,
        "--quiet",
        "-i",
        "libvirtxml",
        described,
        "-o",
        "local",
        "-os",
        out,
        "-of",
        format,
        "-on",
        "guest",
    ]
    Guestfs(bool(kvm_obstacle(arch=platform.machine())), _MOST_SECONDS, (lock,)).run(words)
    with open(os.path.join(out, "guest.xml"), encoding="utf-8") as stream:
        found = [disk for disk in disks_of(parse(stream.read())) if disk.device == "disk"]
    made = [os.path.join(out, f"guest-sd{chr(ord('a') + number)}") for number in range(len(files))]
    if len(found) != len(files) or not all(map(os.path.isfile, made)):
        raise EngineError(f"virt-v2v made {len(found)} disks of {len(files)}.")
    for old, new in zip(files, made):
        os.replace(new, old)
    shutil.rmtree(out)
    os.unlink(described)
    return [disk.bus for disk in found]


def description(machine: Machine, files: Sequence[str], format: str) -> Element:
    """The domain that virt-v2v reads: no more than what it must know."""
    root = Element("domain", {"type": "kvm"})
    put(root, "name", "guest")
    put(root, "memory", str(machine.memory // 1024))
    put(root, "vcpu", str(machine.vcpus))
    put(root, "os/type", "hvm")
    if machine.firmware == UEFI:
        put(root, "os/@firmware", "efi")
    for number, path in enumerate(files):
        target = f"sd{chr(ord('a') + number)}"
        disk = Element("disk", {"type": "file", "device": "disk"})
        put(disk, "driver/@type", format)
        put(disk, "source/@file", path)
        put(disk, "target/@dev", target)
        put(disk, "target/@bus", "sata")
        put(root, "devices", "")
        root.findall("devices")[0].append(disk)
    return root
