# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for OpenNebula: one that describes an image, one that describes a machine with it (OpenNebula, "Image template", "VM template")."""

from __future__ import annotations

from collections.abc import Sequence

from .machine import UEFI, Machine

_PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd", "nvme": "vd"}
_MIB = 1 << 20


def image_template(machine: Machine, number: int, *, name: str, file: str, format: str) -> bytes:
    """What `oneimage create` takes; PATH is where the front end finds the file, so only its name stands there."""
    drive = machine.drives[number]
    lines = (
        ("NAME", name),
        ("PATH", file),
        ("TYPE", "OS" if number == 0 else "DATABLOCK"),
        ("FORMAT", format),
        ("DEV_PREFIX", _PREFIXES.get(drive.bus, "vd")),
        ("PERSISTENT", "NO"),
        ("DESCRIPTION", machine.description),
    )
    return _lines([f"{key} = {_quoted(value)}" for key, value in lines if value])


def vm_template(machine: Machine, images: Sequence[str]) -> bytes:
    """What `onetemplate create` takes; networks are named as they were, and may have to be changed."""
    lines = [
        f"NAME = {_quoted(machine.name)}",
        f'CPU = "{machine.vcpus}"',
        f'VCPU = "{machine.vcpus}"',
        f'MEMORY = "{-(-machine.memory // _MIB)}"',
        *(f"DISK = [ IMAGE = {_quoted(image)} ]" for image in images),
    ]
    for nic in machine.nics:
        named = f"NETWORK = {_quoted(nic.network)}, " if nic.network else 'NETWORK_MODE = "auto", '
        lines.append(f"NIC = [ {named}MODEL = {_quoted(nic.model)} ]")
    boot = [
        f"ARCH = {_quoted(machine.arch)}",
        *([f'MACHINE = "{machine.chipset}"'] if machine.arch == "x86_64" else []),
    ]
    if machine.firmware == UEFI:
        boot += ['FIRMWARE = "UEFI"', *(['FIRMWARE_SECURE = "YES"'] if machine.secure_boot else [])]
    lines.append(f"OS = [ {', '.join(boot)} ]")
    lines.append('FEATURES = [ ACPI = "yes", APIC = "yes" ]')
    lines.append('GRAPHICS = [ TYPE = "vnc", LISTEN = "127.0.0.1" ]')
    return _lines(lines)


def left_out(machine: Machine) -> list[str]:
    """What of the machine the templates don't tell."""
    found = ["Addresses of network cards are OpenNebula's to give."] if machine.nics else []
    if machine.tpm:
        found.append("The TPM is not in the export.")
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ") + '"'


def _lines(lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
