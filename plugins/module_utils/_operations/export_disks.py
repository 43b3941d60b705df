# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of an export that are files of their own."""

from __future__ import annotations

import os

from .._faults import fault_point
from .._formats.deflate import qcow2_encoder
from .._formats.encoder import Encoder
from .._formats.qcow2_writer import write_qcow2
from .._formats.raw_writer import write_raw
from .._formats.vhd_writer import write_fixed_vhd
from .._jobs.progress import Progress
from .._portable import opennebula, openstack, proxmox
from .._records import Record
from . import convert_qemu, convert_work
from .export_place import Made, new_file
from .export_work import OpenDisk, Work

_CLUSTER, _VERSION = 64 << 10, 3
_PLAIN = Encoder("none", lambda data, most: None)


def write_plain_qcow2(work: Work, disk: OpenDisk, handle: int) -> None:
    """A qcow2 that is to be packed, or read fast."""
    write_qcow2(disk.content, handle, cluster_size=_CLUSTER, version=_VERSION, encoder=_PLAIN, report=work.begin(disk))


def write_compressed_qcow2(work: Work, disk: OpenDisk, handle: int) -> None:
    """A qcow2 with compressed clusters, by zlib, which every QEMU reads."""
    write_qcow2(
        disk.content, handle, cluster_size=_CLUSTER, version=_VERSION, encoder=qcow2_encoder(), report=work.begin(disk)
    )


def write_disk(work: Work) -> list[Made]:
    """The one disk as one file."""
    if work.request.format == "vmdk":
        from .export_ovf import write_vmdk

        return write_vmdk(work)
    made = _write(work, work.disks[0], work.path)
    return [Made(os.path.basename(work.request.dest), made.size)]


def _write(work: Work, disk: OpenDisk, path: str) -> Made:
    format = work.request.format
    if format in ("vhdx", "vhd"):
        _by_qemu(work, disk, path)
    else:
        with new_file(path) as handle:
            if format == "qcow2":
                write_compressed_qcow2(work, disk, handle)
            elif format == "vhd-fixed":
                write_fixed_vhd(disk.content, handle, size=work.size(disk), report=work.begin(disk))
            else:
                write_raw(disk.content, handle, report=work.begin(disk))
    fault_point("export:disk-written")
    return Made(os.path.basename(path), os.stat(path).st_size)


def _by_qemu(work: Work, disk: OpenDisk, path: str) -> None:
    """Formats that QEMU's own writer makes; Hyper-V takes the size from the size field, not from a geometry."""
    options = {"subformat": "dynamic", **({"size_rule": "exact"} if work.request.format == "vhd" else {})}
    params = {
        "format": work.request.format,
        "options": options,
        "encryption": None,
        "compress": False,
        "bandwidth": work.request.bandwidth,
        "sparse_size": None,
    }
    convert_qemu.write(convert_work.Work(params, disk.image, _At(path), work.progress, work.lock))


class _At:
    """Where QEMU writes, as a conversion has it (convert_place.Place)."""

    existing = False

    def __init__(self, path: str) -> None:
        self.path = path

    def prepare(self, progress: Progress) -> None:
        """Not asked for."""

    def beside(self) -> list[str]:
        return []

    def publish(self, record: Record) -> None:
        """Not asked for."""

    def discard(self) -> None:
        """Not asked for."""


def write_openstack(work: Work) -> list[Made]:
    """The image, and its properties beside it."""
    name = work.disk_file(0)
    disk = _write(work, work.disks[0], os.path.join(work.path, name))
    told = openstack.properties(work.request.machine, format=work.request.format, file=name)
    return [work.text(f"{work.request.base}.json", told), disk]


def write_opennebula(work: Work) -> list[Made]:
    """The images, a description of each, and one of the machine."""
    made, names, request = list[Made](), list[str](), work.request
    for number, disk in enumerate(work.disks):
        file, name = work.disk_file(number), f"{request.base}-{disk.disk.name}"
        made.append(_write(work, disk, os.path.join(work.path, file)))
        told = opennebula.image_template(request.machine, number, name=name, file=file, format=request.format)
        made.append(work.text(f"{request.base}-disk{number + 1}.image", told))
        names.append(name)
    return [work.text(f"{request.base}.vm", opennebula.vm_template(request.machine, names)), *made]


def write_proxmox(work: Work) -> list[Made]:
    """The disks, and the machine's options for qm."""
    names = [work.disk_file(number) for number in range(len(work.disks))]
    made = [_write(work, disk, os.path.join(work.path, name)) for disk, name in zip(work.disks, names)]
    return [work.text(f"{work.request.base}.conf", proxmox.configuration(work.request.machine, names)), *made]
