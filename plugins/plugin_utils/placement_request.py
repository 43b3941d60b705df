# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what users write and hosts tell to what the planner of places works with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import DEFAULT_TAG, parse_reference
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._sizes import parse_size
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement import IMAGE_COST, place
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_rules import APART, TOGETHER, Rule
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_types import Host, Vm
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_words import (
    DISK,
    HUGEPAGES,
    MEMORY,
    VCPUS,
    Impossible,
)

# What `vm` gives a new VM that names none.
_MEMORY, _VCPUS = "1GiB", 1
_RULE_KEYS = {"apart", "together", "hard", "max"}
_WHO_KEYS = {"names", "labels", "by"}


@dataclass(frozen=True)
class Policy:
    """How full hosts may get: virtual CPUs per CPU, memory as a part of what is there, and what stays free.

    `image_cost` is how much fuller a host may be for an image that it needn't fetch.
    """

    cpu_ratio: float = 8.0
    memory_ratio: float = 1.0
    keep_memory: int = 0
    keep_disk: int = 0
    count_stopped: bool = False
    image_sizes: Mapping[str, int] = field(default_factory=dict)
    disks: Sequence[Mapping[str, Any]] = ()
    image_cost: float = IMAGE_COST


def places(
    vms: Sequence[Mapping[str, Any]], facts: Mapping[str, Mapping[str, Any]], rules: Sequence[Any], policy: Policy
) -> list[dict[str, str]]:
    """A host for each VM, with the reason; raises Impossible or InvalidOption, one sentence."""
    _require_names(vms)
    known = {host: facts_of(host, found) for host, found in facts.items()}
    wanted = [vm for vm in vms if vm.get("state") != "absent"]
    gone = {vm["name"] for vm in vms} - {vm["name"] for vm in wanted}
    has = {vm["name"]: vm for found in known.values() for vm in found["vms"]}
    hosts = [host_of(host, found, policy, without=gone) for host, found in known.items()]
    placed = place(
        [vm_of(vm, has.get(vm["name"]), policy) for vm in wanted],
        hosts,
        [rule_of(rule, number) for number, rule in enumerate(rules, start=1)],
        image_cost=policy.image_cost,
    )
    found = {each.vm: {"vm": each.vm, "host": each.host, "why": each.why} for each in placed}
    for name in gone:
        found[name] = {"vm": name, "host": _only_host(name, known), "why": "shall be absent"}
    return [found[vm["name"]] for vm in vms]


def _require_names(vms: Sequence[Mapping[str, Any]]) -> None:
    names = [vm.get("name") for vm in vms if isinstance(vm, Mapping)]
    if len(names) < len(vms) or not all(isinstance(name, str) and name for name in names):
        raise InvalidOption(
            "Each VM to place is a dictionary with a name, as the option vms of imageops.fleet.vm has it."
        )
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise InvalidOption(f"The VM {twice[0]} is listed twice; names of VMs to place are unique.")


def _only_host(name: str, known: Mapping[str, Mapping[str, Any]]) -> str:
    found = sorted(host for host, facts in known.items() if any(vm["name"] == name for vm in facts["vms"]))
    if len(found) > 1:
        raise Impossible(f"There is a VM called {name} on {' and '.join(found)}; remove them by hand, host by host.")
    return found[0] if found else ""


def facts_of(host: str, found: Any) -> Mapping[str, Any]:
    """The facts, when they are what host_info tells."""
    if not (isinstance(found, Mapping) and isinstance(found.get("host"), Mapping) and "vms" in found):
        raise InvalidOption(
            f"The facts of {host} are not what imageops.fleet.host_info returns; give its whole result."
        )
    return found


def host_of(name: str, facts: Mapping[str, Any], policy: Policy, *, without: Iterable[str] = ()) -> Host:
    """A host as the planner sees it."""
    told = facts["host"]
    memory, vcpus = told["memory"], told["vcpus"]
    stopped = policy.count_stopped
    total_memory = int(memory["total"] * policy.memory_ratio)
    total_vcpus = int(told["cpus"] * policy.cpu_ratio)
    # Overcommitted memory is memory that VMs were given beyond what the host has.
    free_memory = memory["free"] + total_memory - memory["total"] - policy.keep_memory
    pages = told.get("hugepages", [])
    mounts = {each["mount"]: each for each in told["storage"]}
    return Host(
        name,
        total={
            MEMORY: total_memory,
            VCPUS: total_vcpus,
            HUGEPAGES: sum(each["total"] for each in pages),
            **{f"{DISK}{mount}": each["total"] for mount, each in mounts.items()},
        },
        free={
            MEMORY: free_memory - (memory["stopped"] if stopped else 0),
            VCPUS: total_vcpus - vcpus["running"] - (vcpus["stopped"] if stopped else 0),
            HUGEPAGES: sum(each["free"] for each in pages),
            **{f"{DISK}{mount}": each["free"] - policy.keep_disk for mount, each in mounts.items()},
        },
        vms={vm["name"]: vm.get("labels") or {} for vm in facts["vms"] if vm["name"] not in set(without)},
        folders={each["path"]: f"{DISK}{each['mount']}" for each in told["storage"]},
        default_folder=told["default_folder"],
        images=frozenset(name for held in told.get("images") or () for name in _names_of_held(held)),
    )


def vm_of(vm: Mapping[str, Any], has: Mapping[str, Any] | None, policy: Policy) -> Vm:
    """A VM as the planner sees it; of one that is there, only what it is to get beyond what it has counts."""
    option = f"the VM {vm['name']}"
    counted = has if has and (has.get("running") or policy.count_stopped) else {}
    memory = parse_size(vm.get("memory") or (has or {}).get("memory") or _MEMORY, option=f"memory of {option}")
    vcpus = _number(vm.get("vcpus") or (has or {}).get("vcpus") or _VCPUS, option=f"vcpus of {option}")
    resource = HUGEPAGES if vm.get("hugepages") else MEMORY
    return Vm(
        vm["name"],
        needs={resource: max(0, memory - counted.get("memory", 0)), VCPUS: max(0, vcpus - counted.get("vcpus", 0))},
        disks={} if has else _disks(vm, policy),
        images=frozenset() if has else _images(vm, policy),
        labels={str(name): str(value) for name, value in (vm.get("labels") or (has or {}).get("labels") or {}).items()},
    )


def _number(value: Any, *, option: str) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        raise InvalidOption(f"{option}: '{value}' is not a whole number.") from None


def _names_of_held(held: Mapping[str, Any]) -> Iterator[str]:
    """All by which a VM may mean an image that a host holds: a tag, a digest, the path of its file."""
    yield held["path"]
    yield held["digest"]
    found = parse_reference(held["reference"], option="image")
    # What was pulled by tag and digest is what the tag named then.
    if found.tag or not found.digest:
        yield f"{found.catalog}:{found.tag or DEFAULT_TAG}"


def _image_name(image: str) -> str:
    """One name for what means the same image: its digest, or its catalog and tag."""
    if image.startswith("/"):
        return os.path.normpath(image)
    found = parse_reference(image, option="image")
    return found.digest or f"{found.catalog}:{found.version}"


def _images(vm: Mapping[str, Any], policy: Policy) -> frozenset[str]:
    """The images that new disks are made from."""
    disks = policy.disks if vm.get("disks") is None else vm["disks"]
    return frozenset(_image_name(disk["image"]) for disk in disks if disk.get("image"))


def _disks(vm: Mapping[str, Any], policy: Policy) -> dict[str, int]:
    """Bytes by folder that new disks may grow to; a linked one without a size of its own takes what it writes."""
    found: dict[str, int] = {}
    for disk in policy.disks if vm.get("disks") is None else vm["disks"]:
        folder = os.path.dirname(disk.get("path") or "")
        size = parse_size(disk["size"], option=f"size of a disk of the VM {vm['name']}") if disk.get("size") else 0
        if disk.get("image") and disk.get("copy") == "full":
            size = max(size, policy.image_sizes.get(disk["image"], 0))
        if disk.get("device") != "cdrom" and (size or disk.get("image")):
            found[folder] = found.get(folder, 0) + size
    return found


def rule_of(rule: Any, number: int) -> Rule:
    """A rule as the planner sees it."""
    kinds = [kind for kind in (APART, TOGETHER) if isinstance(rule, Mapping) and rule.get(kind)]
    if len(kinds) != 1 or set(rule) - _RULE_KEYS:
        raise InvalidOption(
            f"Rule {number} of the placement is none; give one of apart or together (names, or a dictionary with names, "
            f"labels or by), and hard or max besides."
        )
    who = rule[kinds[0]]
    who = {"names": [who] if isinstance(who, str) else who} if isinstance(who, (str, list, tuple)) else who
    if not isinstance(who, Mapping) or not who or set(who) - _WHO_KEYS:
        raise InvalidOption(f"Rule {number} of the placement: {kinds[0]} takes names, or names, labels and by.")
    names = who.get("names") or []
    return Rule(
        kinds[0],
        number,
        names=tuple(str(name) for name in ([names] if isinstance(names, str) else names)),
        labels={str(name): str(value) for name, value in (who.get("labels") or {}).items()},
        by=str(who.get("by") or ""),
        hard=_truth(rule.get("hard", True), option=f"hard of rule {number}"),
        most=_number(rule.get("max", 1), option=f"max of rule {number}"),
    )


def _truth(value: Any, *, option: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidOption(f"{option} of the placement: '{value}' is neither true nor false.")
    return value
