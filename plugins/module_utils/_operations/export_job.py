# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of an export, as the host helper does it: sources, writer, comparison with what is there, record, name."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Sequence
from typing import Any, Callable

from .._faults import fault_point
from .._files import partial_path
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._portable import presets
from .._records import Record, write_record
from . import export_archives, export_disks, export_ovf
from .export_found import Found, find
from .export_place import SPARE, FilePlace, FolderPlace, Made, Place
from .export_request import ExportRequest, request_of_job
from .export_state import KIND
from .export_work import OpenDisk, Work
from .ownership import wanted_ids
from .still_files import StillFile

_WRITERS: dict[str, Callable[[Work], list[Made]]] = {
    presets.OVA: export_ovf.write_ova,
    presets.OVF: export_ovf.write_ovf,
    presets.DISK: export_disks.write_disk,
    presets.GCP: export_archives.write_gcp,
    presets.BOX: export_archives.write_box,
    presets.INCUS: export_archives.write_incus,
    presets.CONTAINER: export_archives.write_container,
    presets.OPENSTACK: export_disks.write_openstack,
    presets.OPENNEBULA: export_disks.write_opennebula,
    presets.PROXMOX: export_disks.write_proxmox,
}
_PACKING = (presets.BOX, presets.INCUS, presets.CONTAINER)


def export(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Make the export that `params` (ExportRequest.job) describe; facts for the task's result.

    Whatever happens, `dest` is the old content or the new, and nothing unfinished stays.
    """
    request = request_of_job(params)
    place = _place_of(request)
    with contextlib.ExitStack() as stack:
        files = [StillFile(disk.path, disk.format, disk.files, stack, doing="exported") for disk in request.disks]
        contents = [stack.enter_context(file.content(lock)) for file in files]
        disks = [OpenDisk(disk, content, file.image) for disk, content, file in zip(request.disks, contents, files)]
        spare = partial_path(request.dest, suffix=SPARE)
        try:
            place.prepare(progress, _spares(request, spare))
            fault_point("export:before-write")
            made = _WRITERS[request.rules.layout](Work(request, disks, place.path, spare, progress, lock))
            for file in files:
                file.require_same()
            record = _record(request, made, params["tool"])
            found = find(request.dest)
            progress.phase("publish")
            if _is_ours(found, request) and place.is_same(made):
                return _unchanged(found, record)
            place.publish(record, made)
        finally:
            place.discard()
    return {"changed": True}


def _place_of(request: ExportRequest) -> Place:
    """Where the export is written."""
    return FolderPlace(request) if request.rules.folder else FilePlace(request)


def _spares(request: ExportRequest, spare: str) -> Sequence[str]:
    count = len(request.disks) if request.rules.layout in _PACKING else 0
    return [f"{spare}{number}" for number in range(count)]


def _is_ours(found: Found, request: ExportRequest) -> bool:
    """Whether an untouched export is there, with the owner, group and mode that are asked for."""
    if not found.clean or found.record is None or found.record.operation != KIND:
        return False
    ids = map(_ids, found.files)
    return all(wanted_ids(now, owner=request.owner, group=request.group, mode=request.mode) == now for now in ids)


def _ids(path: str) -> tuple[int, int, int]:
    status = os.stat(path)
    return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)


def _unchanged(found: Found, record: Record) -> dict[str, Any]:
    """The same bytes are there already, so only what they were made from is noted."""
    old = found.record
    write_record(found.main, Record(**{**record.__dict__, "files": old.files if old else []}))
    return {"changed": False}


def _record(request: ExportRequest, made: Sequence[Made], tool: str) -> Record:
    return Record(
        operation=KIND,
        format=request.preset,
        virtual_size=sum(disk.size for disk in request.disks),
        source=request.made_from,
        options={**request.declared, "told": {"files": [one.as_dict() for one in made]}},
        tool=tool,
    )


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], export)
