# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a placement is told: amounts, lists of names, reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.imageops.fleet.plugins.module_utils._sizes import format_size

MEMORY, VCPUS, HUGEPAGES, DISK = "memory", "vcpus", "hugepages", "disk "
_MOST_NAMES = 4
_MOST_HOSTS = 6


class Impossible(ValueError):
    """One sentence: what can't be placed, why, and the way out."""


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and 7 more`."""
    found = sorted(names)
    if len(found) > _MOST_NAMES:
        found = [*found[: _MOST_NAMES - 1], f"{len(found) - _MOST_NAMES + 1} more"]
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)


def amount(resource: str, size: int) -> str:
    """`2 GiB of memory`, `4 vCPUs`, `10 GiB in /var`."""
    if resource == VCPUS:
        return f"{size} vCPU{'' if size == 1 else 's'}"
    if resource.startswith(DISK):
        return f"{format_size(size)} in {resource.removeprefix(DISK)}"
    return f"{format_size(size)} of {'huge pages' if resource == HUGEPAGES else resource}"


def amounts(needs: Mapping[str, int]) -> str:
    """All that something needs."""
    return ", ".join(amount(name, size) for name, size in sorted(needs.items(), key=_order))


def _order(entry: tuple[str, int]) -> tuple[int, str]:
    known = (MEMORY, HUGEPAGES, VCPUS)
    return (known.index(entry[0]) if entry[0] in known else len(known), entry[0])


def shortage(needs: Mapping[str, int], free: Mapping[str, int]) -> str:
    """What is missing of what is needed, an empty text when there is enough."""
    short = [name for name, size in sorted(needs.items(), key=_order) if size > free.get(name, 0)]
    return f"has only {amounts({name: max(0, free.get(name, 0)) for name in short})} left" if short else ""


def reason(full: float, resource: str, *, others: Iterable[str], soft: int, holds: bool = False) -> str:
    """Why a VM was put where it is."""
    what = resource.removeprefix(DISK) if resource.startswith(DISK) else resource
    best = "leaves room" if holds else "leaves the most room"
    found = f"{best}: {what} is {full:.0%} full then" if resource else "has the fewest VMs"
    beside = listed(others)
    more = [
        f"together with {beside}" if beside else "",
        "holds the image" if holds else "",
        "a soft rule is broken" if soft else "",
    ]
    return "; ".join([found, *filter(None, more)])


def refusal(names: Iterable[str], needs: str, obstacles: Mapping[str, str], *, placed: int) -> str:
    """Which VMs can't be placed, what they need, and what stands in the way on each host."""
    shown = [f"{host} {why}" for host, why in sorted(obstacles.items())][:_MOST_HOSTS]
    more = len(obstacles) - len(shown)
    many = len(list(names)) > 1
    others = f"with {placed} VM{'' if placed == 1 else 's'} placed " if placed else ""
    return (
        f"There is no room for {listed(names)}: {'they need' if many else 'it needs'} {needs or 'nothing'}; "
        f"{others}{'; '.join(shown)}{f'; and {more} hosts more' if more > 0 else ''}."
    )
