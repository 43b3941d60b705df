# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a compaction: a new image beside the old one, which takes its place when it is smaller and proven equal."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

from .._commands import Commands
from .._errors import Conflict
from .._faults import fault_point
from .._files import fingerprint, publish, remove, sync_file
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image, QemuImg
from .._qemu.image_locks import kept_from_engines
from .._records import Record, read_record, tidy_sidecars, untouched, write_record
from .disk_compact_guest import GuestPart
from .disk_compact_request import Base, CompactRequest, hidden_files
from .disk_compact_rewrite import require_equal, rewrite
from .file_copy import copy_attributes
from .inspection import identity_of, inspect
from .replacing import changing, rests_or_runs, runs

_SECTOR = 512


def compact(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Compact the image that `params` (job_of_request) describe; facts for the task's result.

    Whatever happens, the name shows the old image or the new one, and no other file stays.
    """
    request = _request(params["request"])
    new, work, grown = hidden_files(request.path)
    progress.leaves(new, work, grown)
    try:
        for path in (new, work, grown):
            remove(path)
        return _compact(request, params, progress, lock)
    finally:
        for path in (new, work, grown):
            remove(path)


def _request(values: dict[str, Any]) -> CompactRequest:
    base = values["base"]
    return CompactRequest(**{**values, "base": Base(**base) if base else None})


def _compact(request: CompactRequest, params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    new, work, grown = hidden_files(request.path)
    inspect(request.path, declared=request.format, backing=request.allowed)
    _require_same(request)
    guest = GuestPart(request, progress, lock)
    guest.probe()
    source, target = guest.prepare(work, grown), Image(new, request.format)
    fault_point("compact:before-rewrite")
    told = rewrite(request, source, target, progress, lock)
    fault_point("compact:rewritten")
    require_equal(request, source, target, progress)
    before, after = _allocated(request.path), _allocated(new)
    facts = {**told, **guest.told, "before": before, "after": after}
    same = source.path == request.path and not request.grows
    if after >= before and not request.grows:
        _note(request, params["tool"])
        return {**facts, "after": before, "changed": False, "kept": f"the new image takes {after} bytes, no less"}
    if request.grows and source.path != grown:
        QemuImg(Commands()).resize(target, size=request.size, pass_fds=(lock,))
    progress.phase("publish")
    _publish(request, params, same=same)
    return {**facts, "after": _allocated(request.path), "changed": True}


def _allocated(path: str) -> int:
    """Bytes that a file takes; what was written lately counts only when it is on the disk."""
    sync_file(path)
    return os.stat(path).st_blocks * _SECTOR


def _require_same(request: CompactRequest) -> None:
    if identity_of([one["path"] for one in request.files]) != request.files:
        raise Conflict(f"path: {request.path} was written to meanwhile; it was left as it is now. Run the task again.")


def _record(request: CompactRequest, tool: str, made: dict[str, Any]) -> Record:
    """The image's record, or a new one, with the mark of this compaction."""
    old = read_record(request.path) or Record("compact", request.format, request.size, tool=tool)
    return replace(old, compacted={"options": request.declared, "made": made})


def _note(request: CompactRequest, tool: str) -> None:
    """Remember on the old image that nothing is to be gained, so that the next run looks at no data."""
    with kept_from_engines(request.path):
        _require_same(request)
        old, found = read_record(request.path), fingerprint(request.path)
        record = _record(request, tool, found.as_dict() if found else {})
        write_record(request.path, record, written=old is not None and not untouched(request.path, old))


def _publish(request: CompactRequest, params: dict[str, Any], *, same: bool) -> None:
    """Give the new image owner, mode, attributes, record and name of the old one.

    A disk that the guest sees otherwise than before counts as written to. Raises InUse when a VM runs with it by now, or, unless guests
    read the same in it, something rests on it.
    """
    new, path = hidden_files(request.path)[0], request.path
    with changing(path, disturbs=runs if same else rests_or_runs, search_paths=params["search_paths"]):
        _require_same(request)
        with open(path, "rb") as old, open(new, "rb") as stream:
            copy_attributes(old.fileno(), stream.fileno())
        found = fingerprint(new)
        record = replace(_record(request, params["tool"], found.as_dict() if found else {}), virtual_size=request.size)
        is_as_made = same and untouched(path, read_record(path))
        fault_point("compact:before-publish")
        write_record(
            new, replace(record, digest=record.digest if is_as_made else ""), final=path, written=not is_as_made
        )
        publish(new, path)
    tidy_sidecars(path)
    fault_point("compact:after-publish")


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], compact)
