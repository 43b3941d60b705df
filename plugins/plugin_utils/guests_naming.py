# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Guests as an inventory has them: their names, variables and groups."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import DEFAULT_TAG, parse_reference
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.ip import usable

PATTERN = r"(?P<image>.+?)(?:[-_]v?(?P<version>\d[\w.+-]*))?"
_SUFFIXES = (".qcow2", ".raw", ".img", ".vmdk", ".vhd", ".vhdx", ".vdi", ".iso")
# So many of a digest tell one version from another, as in the names of pulled files.
_DIGITS = 16
_PLAIN = ("state", "uuid", "uri", "title", "description", "autostart", "memory", "vcpus", "networks")


@dataclass(frozen=True)
class Guest:
    """A guest: its name in the inventory, the hypervisor that has it, and its variables."""

    name: str
    host: str
    variables: Mapping[str, Any]


def guests_of(
    answers: Mapping[str, Mapping[str, Any]], *, taken: Collection[str], full: bool, pattern: str = PATTERN
) -> list[Guest]:
    """All guests of all hosts; one whose name others have, or hosts of the inventory (`taken`), is called NAME.HOST."""
    found = [(host, vm) for host, answer in sorted(answers.items()) for vm in answer.get("vms", [])]
    # A VM may be removed while it is looked at.
    found = [(host, vm) for host, vm in found if vm.get("state") != "absent"]
    often = Counter(vm["name"] for _host, vm in found)
    return [
        Guest(
            f"{vm['name']}.{host}" if full or often[vm["name"]] > 1 or vm["name"] in taken else vm["name"],
            host,
            _variables(host, vm, re.compile(pattern)),
        )
        for host, vm in found
    ]


def _variables(host: str, vm: Mapping[str, Any], pattern: re.Pattern[str]) -> dict[str, Any]:
    disks: list[Mapping[str, Any]] = vm.get("disks", [])
    disk = next((disk for disk in disks if disk.get("made_from") or disk.get("image")), {})
    path, pulled = disk.get("made_from") or "", disk.get("image") or {}
    addresses = _addresses(vm)
    image, version = image_of_catalog(pulled) or image_and_version(path, pattern)
    found = {
        "guest_name": vm["name"],
        "guest_host": host,
        "guest_labels": dict(vm.get("labels") or {}),
        "guest_image": image,
        "guest_version": version,
        "guest_image_path": path,
        "guest_image_reference": pulled.get("reference", ""),
        "guest_image_digest": pulled.get("digest", ""),
        "guest_addresses": addresses,
        "guest_address": addresses[0] if addresses else "",
        **{f"guest_{name}": vm[name] for name in _PLAIN if name in vm},
    }
    if "error" in vm:
        found["guest_error"] = vm["error"]
    if addresses:
        found["ansible_host"] = addresses[0]
    return found


def _addresses(vm: Mapping[str, Any]) -> list[str]:
    """Addresses and nothing else: the first one becomes an argument of ssh on the controller."""
    told = vm.get("addresses")
    if told is None:
        told = [address for network in vm.get("networks", []) for address in network.get("addresses", [])]
    return [address for address in map(usable, told) if address]


def image_of_catalog(pulled: Mapping[str, str]) -> tuple[str, str] | None:
    """`team/debian` and `12.8` of registry.example:5000/team/debian:12.8; without a tag, the version is the beginning of the digest."""
    try:
        found = parse_reference(pulled.get("reference", ""), option="image")
    except InvalidOption:
        return None
    digest = found.digest.rpartition(":")[2][:_DIGITS]
    return found.repository or os.path.basename(found.place), found.tag or digest or DEFAULT_TAG


def image_and_version(path: str, pattern: re.Pattern[str]) -> tuple[str, str]:
    """`web` and `1.4.2` of /images/web-1.4.2.qcow2; a name that the pattern doesn't fit is all image."""
    stem, suffix = os.path.splitext(os.path.basename(path))
    stem = stem if suffix.lower() in _SUFFIXES else stem + suffix
    match = pattern.fullmatch(stem)
    parts = match.groupdict() if match else {}
    return str(parts.get("image") or stem), str(parts.get("version") or "")


def groups_of(guest: Guest, kinds: Iterable[str]) -> Iterator[str]:
    """Names of the guest's groups, not yet fit for groups' names."""
    known = guest.variables
    for kind in kinds:
        if kind == "label":
            for label, value in sorted(known["guest_labels"].items()):
                yield f"label_{label}_{value}" if value else f"label_{label}"
        elif kind == "version":
            if known["guest_version"]:
                yield f"version_{known['guest_image']}_{known['guest_version']}"
        elif known.get(f"guest_{kind}"):
            yield f"{kind}_{known[f'guest_{kind}']}"
