# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The firmware of a domain: BIOS, UEFI, UEFI with secure boot; chosen by libvirt from what the host has."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from .xml import Element, drop, get, put

# Where packages and administrators describe firmware (QEMU's docs/interop/firmware.json).
DESCRIPTORS = ("/etc/qemu/firmware", "/usr/share/qemu/firmware")
_EXPLICIT = ("os/loader", "os/nvram", "os/firmware")
_MOST = 1 << 20


def firmware(root: Element) -> str:
    """`uefi` or `bios`."""
    return "uefi" if get(root, "os/@firmware") == "efi" or get(root, "os/loader/@type") == "pflash" else "bios"


def secure_boot(root: Element) -> bool:
    """Whether it is UEFI that starts signed code only."""
    feature = get(root, "os/firmware/feature[@name='secure-boot']/@enabled")
    return "yes" in (feature, get(root, "os/loader/@secure"))


def set_firmware(root: Element, wanted: str, *, secure: bool = False) -> None:
    """UEFI or BIOS; secure boot comes with Microsoft's keys enrolled, and needs system management mode."""
    if (firmware(root), secure_boot(root)) == (wanted, secure):
        return
    for path in (*_EXPLICIT, "os/@firmware"):
        drop(root, path)
    if wanted == "uefi":
        put(root, "os/@firmware", "efi")
        for name in ("secure-boot", "enrolled-keys"):
            put(root, f"os/firmware/feature[@name='{name}']/@enabled", "yes" if secure else "no")
    if secure:
        put(root, "os/loader/@secure", "yes")
        put(root, "features/smm/@state", "on")


def has_enrolled_keys(arch: str, folders: Sequence[str] = DESCRIPTORS) -> bool:
    """Whether a firmware of the host for `arch` has secure boot with keys enrolled."""
    wanted = {"secure-boot", "enrolled-keys"}
    return any(
        wanted <= set(described.get("features", ())) and _is_for(described, arch) for described in _described(folders)
    )


def template_sizes(arch: str, folders: Sequence[str] = DESCRIPTORS) -> set[int]:
    """How many bytes the variables have that the host's firmware for `arch` begins with; raw ones only."""
    found = (_template(described) for described in _described(folders) if _is_for(described, arch))
    return {os.path.getsize(path) for path in found if os.path.isfile(path)}


def takes_raw(arch: str, *, secure: bool, folders: Sequence[str] = DESCRIPTORS) -> bool:
    """Whether the variables of the firmware that libvirt takes for `arch` by itself are raw; those of Fedora are qcow2.

    libvirt takes the first one, by the names of the descriptions, that has secure boot and keys as asked.
    """
    wanted = {"secure-boot", "enrolled-keys"} if secure else set()
    named = dict(_by_name(folders))
    for name in sorted(named):
        features = {"secure-boot", "enrolled-keys"} & set(named[name].get("features", ()))
        if features == wanted and _is_for(named[name], arch) and "nvram-template" in (named[name].get("mapping") or ()):
            return bool(_template(named[name]))
    return True


def _template(described: dict[str, Any]) -> str:
    mapping = described.get("mapping")
    template = mapping.get("nvram-template") if isinstance(mapping, dict) else None
    if not isinstance(template, dict) or template.get("format") != "raw":
        return ""
    return str(template.get("filename", ""))


def _is_for(described: dict[str, Any], arch: str) -> bool:
    return any(target.get("architecture") == arch for target in described.get("targets", ()))


def _described(folders: Sequence[str]) -> Iterator[dict[str, Any]]:
    return (described for _name, described in _by_name(folders))


def _by_name(folders: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """What is described, with the names of the files; one that stands in a former folder hides those of its name in later ones."""
    seen: set[str] = set()
    for folder in folders:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        for name in (name for name in names if name.endswith(".json") and name not in seen):
            seen.add(name)
            try:
                with open(os.path.join(folder, name), encoding="utf-8") as stream:
                    found = json.loads(stream.read(_MOST))
            except (OSError, ValueError):
                # An empty file hides a package's; libvirt too passes over what it can't read.
                continue
            if isinstance(found, dict):
                yield name, found
