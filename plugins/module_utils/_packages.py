# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How the host's distribution calls the packages that we need; for an error, so it is imported when something is missing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

# Where a distribution says what it is (os-release(5)).
OS_RELEASE = ("/etc/os-release", "/usr/lib/os-release")
# The families, by the word that their members have as ID or in ID_LIKE; the rows below are in this order.
_FAMILIES = ("debian", "fedora", "suse")
# SUSE names Python's packages by the interpreter's version, as python313-zstandard.
_PYTHON = f"python{sys.version_info[0]}{sys.version_info[1]}"
_NAMES = {
    "guestfish": ("guestfish", "libguestfs", "libguestfs"),
    "kernel": ("linux-image-cloud-amd64", "kernel-core", "kernel-default"),
    "libvirt": ("python3-libvirt", "python3-libvirt", f"{_PYTHON}-libvirt-python"),
    "nbd": ("python3-libnbd", "python3-libnbd", "python3-libnbd"),
    "nbdcopy": ("libnbd-bin", "libnbd", "libnbd"),
    "pycdlib": ("python3-pycdlib", "python3-pycdlib", f"{_PYTHON}-pycdlib"),
    "qemu-img": ("qemu-utils", "qemu-img", "qemu-tools"),
    "qemu-nbd": ("qemu-utils", "qemu-img", "qemu-tools"),
    "qemu-storage-daemon": ("qemu-system-common or, from Debian 13 on, qemu-utils", "qemu-img", "qemu-tools"),
    "ssh-keygen": ("openssh-client", "openssh", "openssh-common"),
    "swtpm": ("swtpm and swtpm-tools", "swtpm and swtpm-tools", "swtpm"),
    "virsh": ("libvirt-clients", "libvirt-client", "libvirt-client"),
    "virt-resize": ("guestfs-tools", "guestfs-tools", "guestfs-tools"),
    "virt-sparsify": ("guestfs-tools", "guestfs-tools", "guestfs-tools"),
    "virt-sysprep": ("guestfs-tools", "guestfs-tools", "guestfs-tools"),
    "zstandard": ("python3-zstandard", "python3-zstandard", f"{_PYTHON}-zstandard"),
}
_FIRMWARE = {
    "x86_64": ("ovmf", "edk2-ovmf", "qemu-ovmf-x86_64"),
    "aarch64": ("qemu-efi-aarch64", "edk2-aarch64", "qemu-uefi-aarch64"),
}


def package(thing: str) -> str:
    """The package with a program or a Python library (or a kernel), as this distribution names it; of an unknown one all names."""
    return _told(_NAMES.get(thing, (thing,) * len(_FAMILIES)))


def firmware_package(arch: str) -> str:
    """The package with UEFI firmware for VMs of an architecture."""
    return _told(_FIRMWARE.get(arch, _FIRMWARE["x86_64"]))


def _told(names: tuple[str, ...]) -> str:
    said = set(_words())
    known = [name for family, name in zip(_FAMILIES, names) if family in said]
    if known or len(set(names)) == 1:
        return (known or names)[0]
    debian, fedora, suse = names
    return f"{debian} (Debian; {fedora} on RHEL and Fedora, {suse} on SUSE)"


def _words() -> Iterator[str]:
    """What the distribution calls itself, and what it says that it is like."""
    path = next((path for path in OS_RELEASE if os.path.isfile(path)), os.devnull)
    with open(path, encoding="utf-8", errors="replace") as stream:
        for line in stream:
            name, _equals, value = line.strip().partition("=")
            if name in ("ID", "ID_LIKE"):
                yield from value.strip("\"'").split()
