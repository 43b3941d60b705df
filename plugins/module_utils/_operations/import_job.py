# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of an import, as the host helper does it: read the package once, prove it, write its disks, and last of all give them their names."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .._errors import Conflict, UnsafeImage, Unsupported
from .._faults import fault_point
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._portable.box_reader import box_disks, incus_machine
from .._portable.machine import Drive, Machine
from .._portable.ovf_reader import read_descriptor
from .._records import Record
from .export_place import FolderPlace, Made
from .import_archive import DISKS, Taken, store, stream_of, take_archive
from .import_disks import Source, Target, take, write
from .import_facts import Imported, Written
from .import_members import Part, parts_of_iso
from .import_package import OvfSource, checked, open_package, verify
from .import_request import ARCHIVE, KIND, MEDIUM, PACKAGE, ImportRequest, base_of, name_of, request_of_job
from .inspection import identity_of

# QEMU's user must reach the disks; it needn't list them.
_FOLDER_MODE = 0o711
_PIECE = 1 << 20


def bring(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Make the import that `params` (ImportRequest.job) describe; facts for the task's result.

    Whatever happens, `dest` is the old content or the new, and nothing unfinished stays.
    """
    request = request_of_job(params)
    place = FolderPlace(request, kind=KIND, mode=_FOLDER_MODE)
    try:
        place.prepare(progress, ())
        fault_point("import:before-write")
        _require_same_source(request)
        found, made = _Import(request, place.path, progress, lock).run()
        _require_same_source(request)
        progress.phase("publish")
        record = Record(
            operation=KIND,
            format=request.format,
            virtual_size=sum(disk.size for disk in found.disks),
            source=request.made_from,
            options={**request.declared, "told": found.as_dict()},
            tool=params["tool"],
        )
        place.publish(record, made)
    finally:
        place.discard()
    return {"changed": True}


def _require_same_source(request: ImportRequest) -> None:
    if identity_of([one["path"] for one in request.files]) != request.files:
        raise Conflict(
            f"src: {request.src} was written to while it was imported; run the task again when nothing writes to it."
        )


class _Import:
    def __init__(self, request: ImportRequest, folder: str, progress: Progress, lock: int) -> None:
        self._request = request
        self._folder = folder
        self._progress = progress
        self._target = Target(request.format, request.bandwidth, progress, lock)

    def run(self) -> tuple[Imported, list[Made]]:
        """What was imported, and its files."""
        request = self._request
        if request.kind == PACKAGE:
            with open_package(request.src) as source:
                return self._package(source)
        if request.kind == ARCHIVE:
            return self._archive(take_archive(request.src, request.compression, self._folder, self._progress))
        return self._medium() if request.kind == MEDIUM else self._disk()

    def _medium(self) -> tuple[Imported, list[Made]]:
        """The one disk on an ISO file system, read where it is."""
        src = self._request.src
        with open(src, "rb") as stream:
            parts = parts_of_iso(stream.fileno(), src)
        disks = [name for name in parts if name.lower().endswith(DISKS)]
        if len(disks) != 1:
            raise Unsupported(
                f"src: {src} has {len(disks)} disks in its first folder, and no descriptor; copy the one that is meant."
            )
        machine = Machine("", drives=(Drive("disk1", boot=1),))
        source = Source(parts[disks[0]], f"{disks[0]} of {src}")
        others = [f"{name} on the medium is not taken over." for name in parts if name != disks[0]]
        return self._written(machine, [source], others[:10], {}, own=False)

    def _package(self, source: OvfSource) -> tuple[Imported, list[Made]]:
        self._progress.phase("verify", total=sum(part.size for part in source.parts.values()))
        proven = verify(source, trusted=self._request.trusted or None, report=self._progress.update)
        sources = [
            Source(part, f"{disk.file} of {source.shown}", capacity=disk.capacity, proven=source.handles[part.path])
            for disk, part in ((disk, source.part(disk.file)) for disk in source.package.disks)
        ]
        return self._written(source.package.machine, sources, source.package.left_out, proven, own=False)

    def _archive(self, taken: Taken) -> tuple[Imported, list[Made]]:
        request, left_out = (
            self._request,
            [f"{name} in the archive is not taken over." for name in taken.passed if name not in _PASSED],
        )
        descriptors = [name for name in taken.texts if name.lower().endswith(".ovf")]
        if descriptors:
            return self._unpacked_package(taken, descriptors)
        if "metadata.json" in taken.texts:
            machine, names = box_disks(taken.texts["metadata.json"], where=request.src)
            left_out.append("A Vagrantfile is Ruby, so what it says of CPUs, memory and networks is not read.")
        elif "metadata.yaml" in taken.texts:
            machine, names = incus_machine(taken.texts["metadata.yaml"]), ["rootfs.img"]
        elif len(taken.disks) == 1:
            machine, names = Machine("", drives=(Drive("disk1", boot=1),)), list(taken.disks)
        else:
            raise Unsupported(
                f"src: {request.src} is an archive of {len(taken.disks)} disks that tells nothing of them; unpack it, and import each."
            )
        for name in names:
            if name not in taken.disks:
                raise UnsafeImage(f"src: {request.src} says that its disk is {name!a}, and holds no such file.")
        sources = [self._member(taken.disks[name], name) for name in names]
        return self._written(machine, sources, left_out, {}, own=True)

    def _with_drivers(self, machine: Machine, disks: Sequence[Written]) -> Machine:
        """The machine with its disks attached as the guest's new drivers want it."""
        from .import_drivers import convert

        self._progress.phase("drivers")
        paths = [os.path.join(self._folder, disk.name) for disk in disks]
        buses = convert(machine, paths, self._request.format, self._target.lock)
        drives = tuple(replace(drive, bus=bus) for drive, bus in zip(machine.drives, buses))
        return replace(machine, drives=drives)

    def _member(self, path: str, name: str) -> Source:
        return Source(Part(path, 0, os.stat(path).st_size), f"{name} of {self._request.src}")

    def _unpacked_package(self, taken: Taken, descriptors: Sequence[str]) -> tuple[Imported, list[Made]]:
        """An OVF package that came compressed: its texts and disks are files of ours by now."""
        if len(descriptors) > 1:
            raise Unsupported(
                f"src: {self._request.src} has {len(descriptors)} descriptors (.ovf), and a package has one."
            )
        with contextlib.ExitStack() as stack:
            parts, handles = {}, {}
            for number, (name, data) in enumerate(taken.texts.items()):
                path = os.path.join(self._folder, f".text{number}")
                store(iter([data]), path, what=name)
                taken.disks[name] = path
            for name, path in taken.disks.items():
                handles[path] = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                stack.callback(os.close, handles[path])
                parts[name] = Part(path, 0, os.stat(path).st_size)
            package = read_descriptor(taken.texts[descriptors[0]], where=self._request.src)
            return self._package(checked(OvfSource(self._request.src, descriptors[0], package, parts, handles)))

    def _disk(self) -> tuple[Imported, list[Made]]:
        request, machine = self._request, Machine("", drives=(Drive("disk1", boot=1),))
        if not request.compression:
            source = Source(Part(request.src, 0, os.stat(request.src).st_size), request.src, request.src_format)
            return self._written(machine, [source], (), {}, own=False)
        path = os.path.join(self._folder, ".member0")
        with stream_of(request.src, request.compression, self._progress) as read:
            store(iter(lambda: read(_PIECE), b""), path, what=request.src)
        source = Source(Part(path, 0, os.stat(path).st_size), request.src, request.src_format)
        return self._written(machine, [source], (), {}, own=True)

    def _written(
        self, machine: Machine, sources: Sequence[Source], left_out: Sequence[str], proven: dict[str, Any], *, own: bool
    ) -> tuple[Imported, list[Made]]:
        """Write the disks; files that are our `own` already may be taken as they are."""
        name = self._request.name or machine.name or name_of(self._request.src)
        disks, act = [], take if own else write
        for number, source in enumerate(sources, 1):
            file = f"{base_of(name)}-disk{number}.{self._request.format}"
            disks.append(Written(file, act(source, os.path.join(self._folder, file), self._target)))
        if self._request.drivers:
            machine = self._with_drivers(machine, disks)
        wanted = {disk.name for disk in disks}
        for other in set(os.listdir(self._folder)) - wanted:
            os.unlink(os.path.join(self._folder, other))
        named = Machine(**{**machine.__dict__, "name": name})
        return Imported(named, tuple(disks), tuple(left_out), proven), [
            Made(disk.name, os.stat(os.path.join(self._folder, disk.name)).st_size) for disk in disks
        ]


# What a box has besides that says nothing of a machine here.
_PASSED = {"Vagrantfile", "info.json", "vagrant_insecure_key"}


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], bring)
