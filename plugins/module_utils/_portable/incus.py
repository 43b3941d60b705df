# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A unified image tarball of a machine for Incus (Incus, "Image format"): metadata.yaml and rootfs.img, which is a qcow2."""

from __future__ import annotations

from .machine import BIOS, Machine

DISK = "rootfs.img"
METADATA = "metadata.yaml"


def metadata(machine: Machine, *, created: int) -> bytes:
    """Texts are quoted, so that YAML takes none of them for anything else."""
    system = machine.os or "unknown"
    about = {
        "name": machine.name,
        "description": machine.description.partition("\n")[0] or machine.name,
        "os": system.rstrip("0123456789."),
        "release": system[len(system.rstrip("0123456789.")) :] or "unknown",
    }
    lines = [f"architecture: {_quoted(machine.arch)}", f"creation_date: {created}", "properties:"]
    lines += [f"  {key}: {_quoted(value)}" for key, value in about.items()]
    return "".join(f"{line}\n" for line in lines).encode()


def _quoted(text: str) -> str:
    """A double-quoted text (YAML 1.2, 7.3.1); what isn't ASCII is escaped by its number, of which surrogates are none."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(letter: str) -> str:
    if " " <= letter <= "~" and letter not in '"\\':
        return letter
    return "?" if "\ud800" <= letter <= "\udfff" else f"\\U{ord(letter):08X}"


def left_out(machine: Machine) -> list[str]:
    """What of the machine is an instance's configuration, which an image has none of."""
    found = [
        f"CPUs ({machine.vcpus}) and memory ({machine.memory} bytes) are an instance's to say: limits.cpu, limits.memory.",
        "Networks are a profile's to say.",
    ]
    if machine.firmware == BIOS:
        found.append("Incus starts machines with UEFI; one that starts by BIOS only needs security.csm=true.")
    if not machine.secure_boot:
        found.append("A guest whose loader isn't signed needs security.secureboot=false.")
    return found
