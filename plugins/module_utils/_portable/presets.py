# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each platform demands of an export, in one table; where the demands are written down stands in docs/portability.md."""

from __future__ import annotations

from dataclasses import dataclass

from .ovf_names import VIRTUALBOX, VMWARE

_MIB, _GIB, _TIB = 1 << 20, 1 << 30, 1 << 40

# How the files of an export lie: one archive, a folder, a file.
OVA, OVF, DISK, GCP, BOX, INCUS, CONTAINER = "ova", "ovf", "disk", "gcp", "box", "incus", "container"
OPENSTACK, OPENNEBULA, PROXMOX = "openstack", "opennebula", "proxmox"


@dataclass(frozen=True)
class Preset:
    """What a platform demands.

    `formats` are the disk formats that it takes by the end of the export's name, the default first; a folder has disks in one of them.
    Disks get a size that is a multiple of `align` bytes, and have at most `most_size`. `dialect` is whose OVF it reads.
    """

    name: str
    layout: str
    formats: dict[str, str]
    folder: bool = False
    most_disks: int = 1
    align: int = 512
    most_size: int = 64 * _TIB
    dialect: str = ""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How the export's name may end; nothing for folders."""
        return () if self.folder else tuple(self.formats)

    @property
    def describes(self) -> bool:
        """Whether the export tells what machine the disks belong to."""
        return self.layout not in (DISK, GCP, CONTAINER)


PRESETS = {
    preset.name: preset
    for preset in (
        Preset("ova", OVA, {".ova": "vmdk"}, most_disks=60, most_size=2 * _TIB, dialect=VMWARE),
        Preset("vmware", OVF, {"": "vmdk"}, folder=True, most_disks=60, most_size=2 * _TIB, dialect=VMWARE),
        Preset("virtualbox", OVA, {".ova": "vmdk"}, most_disks=30, most_size=2 * _TIB, dialect=VIRTUALBOX),
        Preset("hyperv", DISK, {".vhdx": "vhdx", ".vhd": "vhd"}),
        Preset("azure", DISK, {".vhd": "vhd-fixed"}, align=_MIB, most_size=2040 * _GIB),
        Preset("aws", DISK, {".vmdk": "vmdk", ".raw": "raw"}, most_size=16 * _TIB),
        Preset("gcp", GCP, {".tar.gz": "raw"}, align=_GIB),
        Preset("openstack", OPENSTACK, {"qcow2": "qcow2", "raw": "raw"}, folder=True),
        Preset("opennebula", OPENNEBULA, {"qcow2": "qcow2", "raw": "raw"}, folder=True, most_disks=26),
        Preset("kubevirt", CONTAINER, {".tar": "qcow2"}),
        Preset("proxmox", PROXMOX, {"qcow2": "qcow2", "raw": "raw"}, folder=True, most_disks=30),
        Preset("vagrant", BOX, {".box": "qcow2"}, most_disks=16),
        Preset("incus", INCUS, {".tar.gz": "qcow2"}),
    )
}
# What a format itself can hold, beside what the platform takes.
MOST_OF_FORMAT = {"vmdk": 2 * _TIB, "vhd": 2040 * _GIB, "vhd-fixed": 2040 * _GIB}


def aligned(size: int, preset: Preset) -> int:
    """The size in bytes that a disk of `size` gets."""
    return -(-size // preset.align) * preset.align
