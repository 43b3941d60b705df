# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host has for VMs: memory, CPUs, huge pages, storage; and what its VMs were given of it."""

from __future__ import annotations

import os
import re
from typing import Any

from .connection import Connection
from .domain import Domain
from .library import calling, library, tell_each
from .tuning import HUGEPAGES, MEMORY
from .xml import get, parse

_POOL_RUNNING = 2  # VIR_STORAGE_POOL_RUNNING of libvirt/libvirt-storage.h


def memory() -> tuple[int, int]:
    """Bytes of memory that the host has, and that it could give away without swapping."""
    with open(MEMORY, encoding="ascii") as stream:
        found: dict[str, str] = dict(re.findall(r"^(\w+):\s+(\d+) kB$", stream.read(), re.MULTILINE))
    # Kernels before 3.14 don't estimate what could be given away.
    available = found["MemAvailable"] if "MemAvailable" in found else found["MemFree"]
    return int(found["MemTotal"]) << 10, int(available) << 10


def huge_pages(folder: str = HUGEPAGES) -> list[dict[str, int]]:
    """Size of the pages, and how many bytes of them there are and are free, of each size that the host has any of."""
    found = []
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        page = int(name.partition("-")[2].removesuffix("kB")) << 10
        total, free = (_number(os.path.join(folder, name, file)) * page for file in ("nr_hugepages", "free_hugepages"))
        if total:
            found.append({"page": page, "total": total, "free": free})
    return found


def _number(path: str) -> int:
    with open(path, encoding="ascii") as stream:
        return int(stream.read())


def cpus(connection: Connection) -> int:
    """CPUs that the host has."""
    with calling("telling what the host has"):
        return int(connection.raw.getInfo()[2])


def resident(domain: Domain) -> int:
    """Bytes of the host's memory that a running VM has touched already; 0 where the hypervisor doesn't tell."""
    failure = library().libvirtError
    try:
        return int(domain.raw.memoryStats().get("rss", 0)) << 10
    except failure:
        # It stopped just now, or it is a hypervisor without such figures.
        return 0


def pools(connection: Connection) -> list[dict[str, Any]]:
    """Active storage pools, with size and free space; those in folders by what the file system says now."""
    doing = "listing the storage pools"
    with calling(doing):
        listed = connection.raw.listAllStoragePools(0)
    found = tell_each(listed, lambda raw: (raw.name(), get(parse(raw.XMLDesc(0)), "target/path"), raw.info()), doing)
    return [
        {"pool": name, **(space(path) if os.path.isdir(path) else _told(path, info))}
        for name, path, info in sorted(found)
        if info[0] == _POOL_RUNNING
    ]


def _told(path: str, info: list[int]) -> dict[str, Any]:
    """What libvirt says of a pool that is no folder, such as a group of logical volumes."""
    return {"path": path, "mount": path, "total": int(info[1]), "free": int(info[3])}


def space(path: str) -> dict[str, Any]:
    """Size and free space of the file system of a folder, or of where it would be made; `mount` names the file system."""
    there = os.path.realpath(path)
    while not os.path.isdir(there):
        there = os.path.dirname(there)
    status, mount = os.statvfs(there), there
    while not os.path.ismount(mount):
        mount = os.path.dirname(mount)
    return {
        "path": path,
        "mount": mount,
        "total": status.f_blocks * status.f_frsize,
        "free": status.f_bavail * status.f_frsize,
    }
