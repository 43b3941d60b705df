# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a Vagrant box for libvirt, or an image of Incus, tells of itself; the Ruby of a Vagrantfile is never run."""

from __future__ import annotations

import json
import re
from typing import Any

from .._errors import UnsafeImage, Unsupported
from .machine import UEFI, Drive, Machine
from .ovf_reader import is_plain_name

_MOST_DISKS = 64
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}
_ARCHITECTURE = re.compile(r"^architecture: *[\"']?([a-z0-9_]{1,20})[\"']? *$", re.MULTILINE)


def box_disks(data: bytes, *, where: str) -> tuple[Machine, list[str]]:
    """The machine and the names of the files with its disks; raises UnsafeImage, or Unsupported for another provider's box."""
    told = _object(data, where)
    provider = told.get("provider", "libvirt")
    if provider != "libvirt":
        raise Unsupported(
            f"src: {where} is a box for {str(provider)[:40]!a} without a descriptor; boxes for libvirt are read."
        )
    listed = told.get("disks")
    names = ["box.img"] if not listed else [_path(one, where) for one in _list(listed, where)]
    if len(names) > _MOST_DISKS or len(set(names)) != len(names):
        raise UnsafeImage(f"src: {where} names a disk twice, or more than {_MOST_DISKS}.")
    arch = str(told.get("architecture", "x86_64"))
    drives = tuple(Drive(f"disk{number + 1}", boot=int(number == 0)) for number in range(len(names)))
    return Machine("", arch=_ARCHITECTURES.get(arch, arch)[:20], drives=drives), names


def _object(data: bytes, where: str) -> dict[str, Any]:
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise UnsafeImage(f"src: the metadata.json of {where} holds no object.")
    return told


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise UnsafeImage(f"src: the disks in the metadata.json of {where} are no list.")
    return value


def _path(disk: Any, where: str) -> str:
    name = disk.get("path") if isinstance(disk, dict) else None
    if not isinstance(name, str) or not is_plain_name(name):
        raise UnsafeImage(f"src: {where} names the disk {str(name)[:80]!a}, which is not one in it.")
    return name


def incus_machine(data: bytes) -> Machine:
    """Incus starts machines with UEFI and secure boot, unless an instance says otherwise."""
    found = _ARCHITECTURE.search(data.decode("utf-8", "replace"))
    return Machine("", arch=found[1] if found else "x86_64", firmware=UEFI, drives=(Drive("disk1", boot=1),))
