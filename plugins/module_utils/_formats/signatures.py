# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""By which bytes a reader could take a file for a disk format; in one file, so that only the parser that is needed is loaded."""

from __future__ import annotations

import re

from . import foreign
from .reader import SECTOR, Reader

QCOW2 = b"QFI\xfb"
QED = b"QED\0"
LUKS = b"LUKS\xba\xbe"
VHDX = b"vhdxfile"
VDI, VDI_AT = b"\x7f\x10\xda\xbe", 0x40
VHD = b"conectix"
VMDK_SPARSE, VMDK_COWD, VMDK_SESPARSE = b"KDMV", b"COWD", b"\xbe\xba\xfe\xca\0\0\0\0"
VMDK_TEXT = b"# disk descriptorfile"
# Comment and blank lines, then the version: that is all that QEMU's own probing for a descriptor asks for.
_VMDK_PROBE = re.compile(rb"(?:#[^\n]*\n|[ \t\r]*\n)*version=[123]\r?\n")


def signatures(image: Reader) -> list[str]:
    """Every disk format that a reader could take this file for, the one at the start first."""
    tests = {
        "qcow2": image.upto(0, 4) == QCOW2 and image.upto(0, 8) != foreign.SIGNATURES["qcow"],
        "vmdk": is_vmdk(image),
        "vhdx": image.upto(0, 8) == VHDX,
        "vdi": image.upto(VDI_AT, 4) == VDI,
        "qed": image.upto(0, 4) == QED,
        "luks": image.upto(0, len(LUKS)) == LUKS,
    }
    found = [name for name, here in tests.items() if here] + foreign.foreign_formats(image)
    if not vhd_footers(image):
        return found
    return ["vhd", *found] if image.upto(0, 8) == VHD else [*found, "vhd"]


def is_vmdk(image: Reader) -> bool:
    """Whether the file starts as any kind of VMDK."""
    start = image.upto(0, 8)
    return start.startswith((VMDK_SPARSE, VMDK_COWD, VMDK_SESPARSE)) or is_vmdk_text(image.upto(0, 4096))


def is_vmdk_text(start: bytes) -> bool:
    """Whether VMware or QEMU would take this text for a descriptor."""
    if start[: len(VMDK_TEXT)].lower() == VMDK_TEXT:
        return True
    return start[:1] in b"#v\n\r \t" and bool(_VMDK_PROBE.match(start))


def vhd_footers(image: Reader) -> list[int]:
    """Where a footer of a VHD stands: at the start (dynamic), in the last sector (all)."""
    last = image.size - SECTOR
    return [at for at in sorted({0, last}) if at >= 0 and image.upto(at, 8) == VHD]
