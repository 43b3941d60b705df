# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports with an OVF descriptor: an OVA, written in one pass, or a folder with the same files.

Each byte of a disk is read once, compressed by all cores, and goes straight to its place in the archive; its digest for the manifest is
counted on the way. What stands in front of it (header, descriptor with the file's size) is written when it is known. So a disk's content
ID can't come of its content, as that of a lone streamOptimized VMDK does: it comes of the export's and the disk's names and its size.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from .._faults import fault_point
from .._formats import stream_vmdk_writer
from .._formats.deflate import vmdk_encoder
from .._formats.gathered_writes import GatheredWrites
from .._formats.reader import SECTOR
from .._portable.manifest import manifest
from .._portable.ovf_writer import DiskFile, descriptor
from .._portable.tar_writer import TarWriter
from .export_place import Made, new_file
from .export_signing import certificate_file
from .export_work import Appended, Counted, OpenDisk, Work

# No file is larger, so no number in the descriptor is longer.
_LARGEST = 10**19
_ADAPTER_TYPES = {"ide": "ide"}


def write_ova(work: Work) -> list[Made]:
    """The archive: descriptor, disks, manifest, certificate, in this order (DSP0243 lets the manifest come last)."""
    with new_file(work.path) as handle:
        sink = GatheredWrites(handle)
        tar = TarWriter(sink)
        base, files = work.request.base, list[DiskFile]()
        fill = tar.room(f"{base}.ovf", len(_longest_descriptor(work)))
        digests: dict[str, str] = {}
        for number, disk in enumerate(work.disks):
            name = work.disk_file(number)
            size = tar.member(lambda name=name: name, _Filling(work, disk, name, files, digests))  # type: ignore[misc]
            fault_point("export:disk-written")
            files[-1] = DiskFile(name, size, files[-1].capacity, files[-1].populated)
        text = fill(descriptor(work.request.machine, files, work.request.flavour))
        said = manifest({f"{base}.ovf": hashlib.sha256(text).hexdigest(), **digests})
        tar.file(f"{base}.mf", said)
        signed = certificate_file(work.request, said, f"{base}.mf")
        if signed:
            tar.file(f"{base}.cert", signed)
        tar.end()
        sink.flush()
        os.fsync(handle)
        return [Made(os.path.basename(work.request.dest), tar.at)]


class _Filling:
    """Writes a disk into the archive."""

    def __init__(self, work: Work, disk: OpenDisk, name: str, files: list[DiskFile], digests: dict[str, str]) -> None:
        self._work, self._disk, self._name, self._files, self._digests = work, disk, name, files, digests

    def __call__(self, append: object) -> None:
        counted = Counted(append)  # type: ignore[arg-type]
        self._files.append(_write_disk(self._work, self._disk, self._name, counted))
        self._digests[self._name] = counted.digest


def write_ovf(work: Work) -> list[Made]:
    """The folder with the same files."""
    base, made, files, digests = work.request.base, list[Made](), list[DiskFile](), dict[str, str]()
    for number, disk in enumerate(work.disks):
        name = work.disk_file(number)
        with new_file(os.path.join(work.path, name)) as handle:
            file = Appended(handle)
            counted = Counted(file.write)
            files.append(_write_disk(work, disk, name, counted))
            file.close()
        digests[name] = counted.digest
        made.append(Made(name, counted.size, counted.digest))
        fault_point("export:disk-written")
    text = work.text(f"{base}.ovf", descriptor(work.request.machine, files, work.request.flavour))
    said = manifest({text.name: text.sha256, **digests})
    made = [text, *made, work.text(f"{base}.mf", said)]
    signed = certificate_file(work.request, said, f"{base}.mf")
    return [*made, *([work.text(f"{base}.cert", signed)] if signed else [])]


def write_vmdk(work: Work) -> list[Made]:
    """A lone streamOptimized VMDK."""
    disk, name = work.disks[0], os.path.basename(work.request.dest)
    with new_file(work.path) as handle:
        file = Appended(handle)
        counted = Counted(file.write)
        _write_disk(work, disk, name, counted)
        file.close()
    fault_point("export:disk-written")
    return [Made(name, counted.size, counted.digest)]


def _write_disk(work: Work, disk: OpenDisk, name: str, counted: Counted) -> DiskFile:
    request, drive = work.request, next(one for one in work.request.machine.drives if one.name == disk.disk.name)
    written = stream_vmdk_writer.append_stream_vmdk(
        disk.content,
        counted.write,
        identity=hashlib.sha256(
            f"{request.machine.name}\0{name}\0{disk.content.size}".encode("utf-8", "replace")
        ).digest(),
        adapter_type=_ADAPTER_TYPES.get(request.flavour.adapter_of(drive.bus), "lsilogic"),
        hardware_version=min(request.hardware, 21),
        encoder=vmdk_encoder(),
        report=work.begin(disk),
    )
    return DiskFile(name, written.size, _capacity(disk), written.populated)


def _capacity(disk: OpenDisk) -> int:
    return -(-disk.content.size // SECTOR) * SECTOR


def _longest_descriptor(work: Work) -> bytes:
    files: Sequence[DiskFile] = [
        DiskFile(work.disk_file(number), _LARGEST, _capacity(disk), _LARGEST) for number, disk in enumerate(work.disks)
    ]
    return descriptor(work.request.machine, files, work.request.flavour)
