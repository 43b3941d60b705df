# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the items of one task need of the host together: space for disks, memory and huge pages for those that start."""

from __future__ import annotations

import os
from collections.abc import Iterable

from .._errors import NoSpace
from .._hypervisor import hardware, tuning
from .._hypervisor.xml import Element
from .._sizes import format_size
from .operation import Tools
from .vm_disk_plan import PlannedDisk


def claim_space(disks: Iterable[PlannedDisk], tools: Tools) -> None:
    """Raise NoSpace when the disks of this and all earlier items don't fit on a file system together."""
    for disk in disks:
        if not disk.new:
            continue
        folder = os.path.dirname(disk.new.path)
        status = os.statvfs(folder)
        needed = _add(f"space:{os.stat(folder).st_dev}", disk.space, tools)
        free = status.f_bavail * status.f_frsize
        if free < needed:
            raise NoSpace(
                f"disks: this task's new disks up to {disk.new.path} need about {format_size(needed)} in {folder}, and only "
                f"{format_size(free)} are free; free some space, or make fewer at once.",
                needed=needed,
                free=free,
            )


def claim_memory(name: str, root: Element, tools: Tools) -> tuple[str, ...]:
    """Raise NoSpace when the VMs that this task starts can never fit into the host's memory; warn when they hardly do."""
    size, pages = hardware.memory(root), tuning.hugepages(root)
    if pages is not False:
        _claim_pages(name, size, pages, tools)
        return ()
    needed = _add("memory", size, tools)
    host = tuning.host_memory()
    most = host["MemTotal"] + host.get("SwapTotal", 0)
    if needed > most:
        raise NoSpace(
            f"memory: the VMs that this task starts up to {name} have {format_size(needed)} of memory, and the host has "
            f"{format_size(most)} with swap; start fewer on it, or give them less.",
            needed=needed,
            free=most,
        )
    free = host.get("MemAvailable", most) + host.get("SwapFree", 0)
    if needed <= free or needed - size > free:
        return ()
    return (
        (
            f"From {name} on, the VMs that this task starts may use more memory ({format_size(needed)}) than the host has free "
            f"now ({format_size(free)})."
        ),
    )


def _claim_pages(name: str, size: int, pages: int | bool, tools: Tools) -> None:
    kind = tuning.host_memory().get("Hugepagesize", 0) if pages is True else int(pages)
    needed = _add(f"hugepages:{kind}", size, tools)
    free = tuning.free_hugepages().get(kind, 0)
    if needed > free:
        raise NoSpace(
            f"hugepages: the VMs that this task starts up to {name} need {format_size(needed)} in pages of {format_size(kind)}, and "
            f"{format_size(free)} are free; reserve more (vm.nr_hugepages), or leave hugepages out.",
            needed=needed,
            free=free,
        )


def _add(what: str, size: int, tools: Tools) -> int:
    known = tools.forecast.setdefault(what, {"needed": 0})
    known["needed"] += size
    return int(known["needed"])
