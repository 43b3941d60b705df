# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a domain uses the host's memory and CPUs: huge pages, and CPUs that are pinned."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping

from .xml import Element, drop, get, put

HUGEPAGES = "/sys/kernel/mm/hugepages"
ONLINE_CPUS = "/sys/devices/system/cpu/online"
MEMORY = "/proc/meminfo"
_UNITS = {"b": 1, "bytes": 1, "k": 1 << 10, "kib": 1 << 10, "m": 1 << 20, "mib": 1 << 20, "g": 1 << 30, "gib": 1 << 30}
_RANGE = re.compile(r"(\^?)(\d{1,5})(?:-(\d{1,5}))?\Z")


def cpu_set(text: str) -> frozenset[int] | None:
    """The CPUs in a text such as `0-3,^2,8`; None when it is none."""
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        match = _RANGE.match(part)
        if not match or (match[1] and match[3]):
            return None
        numbers = range(int(match[2]), int(match[3] or match[2]) + 1)
        found = found.difference(numbers) if match[1] else found.union(numbers)
    return frozenset(found) or None


def cpu_text(cpus: Collection[int]) -> str:
    """The shortest text for a set of CPUs, as libvirt writes it."""
    runs: list[list[int]] = []
    for number in sorted(cpus):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def pins(root: Element) -> dict[int, str]:
    """The host's CPUs that each pinned virtual CPU may run on."""
    found = {}
    for pin in root.findall("cputune/vcpupin"):
        text = pin.get("cpuset", "")
        found[int(pin.get("vcpu", "0"))] = cpu_text(cpu_set(text) or ()) or text
    return found


def set_pins(root: Element, wanted: Mapping[int, str]) -> None:
    """Pin just these virtual CPUs."""
    if pins(root) == wanted:
        return
    drop(root, "cputune/vcpupin")
    for number, cpus in sorted(wanted.items()):
        put(root, f"cputune/vcpupin[@vcpu='{number}']/@cpuset", cpus)


def hugepages(root: Element) -> int | bool:
    """Size in bytes of the huge pages that all memory is on; True for the host's default size, False without."""
    if root.find("memoryBacking/hugepages") is None:
        return False
    size = get(root, "memoryBacking/hugepages/page/@size")
    return int(size) * _UNITS.get(get(root, "memoryBacking/hugepages/page/@unit", "KiB").lower(), 1) if size else True


def set_hugepages(root: Element, wanted: int | bool) -> None:
    """Have all memory on huge pages of that size (True: of the host's default size), or on ordinary ones."""
    if hugepages(root) == wanted and isinstance(hugepages(root), bool) == isinstance(wanted, bool):
        return
    drop(root, "memoryBacking/hugepages")
    if wanted is False:
        return
    put(root, "memoryBacking/hugepages", "")
    if wanted is not True:
        put(root, "memoryBacking/hugepages/page/@size", str(wanted // 1024))
        put(root, "memoryBacking/hugepages/page/@unit", "KiB")


def online_cpus(path: str = ONLINE_CPUS) -> frozenset[int]:
    """The host's CPUs."""
    with open(path, encoding="ascii") as stream:
        return cpu_set(stream.read().strip()) or frozenset()


def free_hugepages(folder: str = HUGEPAGES) -> dict[int, int]:
    """Bytes that are free on huge pages, by the size of a page."""
    found = {}
    for name in os.listdir(folder) if os.path.isdir(folder) else []:
        size = int(name.rpartition("-")[2].removesuffix("kB")) * 1024
        with open(os.path.join(folder, name, "free_hugepages"), encoding="ascii") as stream:
            found[size] = int(stream.read()) * size
    return found


def host_memory(path: str = MEMORY) -> dict[str, int]:
    """What the kernel says of the host's memory, in bytes: MemTotal, MemAvailable, SwapTotal, SwapFree, Hugepagesize ..."""
    with open(path, encoding="ascii") as stream:
        rows = (line.split() for line in stream)
        return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if len(row) == 3 and row[2] == "kB"}
