# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a snapshot operation, as the host helper does it: in the image, or on a copy that takes its place."""

from __future__ import annotations

import contextlib
import sys
from typing import Any

from .._errors import Conflict, EngineError, ImageOpsError
from .._faults import fault_point
from .._files import fingerprint, partial_path, remove, sync_file
from .._formats.qcow2_points import read_points
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image
from .._qemu.image_check import check_image
from .._qemu.image_snapshots import APPLY, CREATE, DELETE, change_snapshots
from .._records import read_record, untouched
from .copy_publication import publish_copy
from .disk_snapshot_mark import clear_mark, is_marked, recover, refresh_record, set_mark
from .replacing import rests_or_runs, undisturbed
from .whole_copy import copy_beside


def change(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Do what `params` (SnapshotRequest.job) say; facts for the task's result."""
    path = params["path"]
    image = Image(path, "qcow2")
    if is_marked(path):
        progress.phase("recover")
        recover(image, pass_fds=(lock,))
        fault_point("snapshot:after-recover")
    elif _fingerprint(path) != params["before"]:
        raise Conflict(f"path: {path} was changed by somebody else meanwhile; run the task again.")
    if params["on_copy"]:
        return {"method": _on_copy(params, progress, lock)}
    if params["acts"]:
        with _undisturbed(params):
            _in_place(image, params, progress, lock)
    return {"method": "in place"}


def _undisturbed(params: dict[str, Any]) -> contextlib.AbstractContextManager[Any]:
    """Of what others rest on, only a revert changes the content."""
    if not _reverts(params):
        return contextlib.nullcontext()
    return undisturbed(params["path"], disturbs=rests_or_runs, search_paths=params["search_paths"])


def _in_place(image: Image, params: dict[str, Any], progress: Progress, lock: int) -> None:
    path = image.path
    keeps = not _reverts(params) and untouched(path, read_record(path))
    progress.phase("snapshot")
    set_mark(path, keeps=keeps)
    fault_point("snapshot:marked")
    try:
        _act(image, params["acts"], lock)
        sync_file(path)
    except BaseException:
        # What QEMU could not finish is given back at once where that can be done, else by the next run.
        with contextlib.suppress(ImageOpsError, OSError):
            recover(image, pass_fds=(lock,))
        raise
    _verify(path, params)
    fault_point("snapshot:before-record")
    if keeps:
        refresh_record(path)
    fault_point("snapshot:before-unmark")
    clear_mark(path)


def _on_copy(params: dict[str, Any], progress: Progress, lock: int) -> str:
    """For what is not safe in place: the name shows the old image until the new one is whole."""
    path, partial = params["path"], partial_path(params["path"])
    progress.leaves(partial)
    remove(partial)
    before = _fingerprint(path)
    progress.phase("copy", total=before["size"])
    how = copy_beside(path, partial, progress, bandwidth=params["bandwidth"])
    fault_point("snapshot:copied")
    progress.phase("snapshot")
    copied = Image(partial, "qcow2")
    _act(copied, params["acts"], lock)
    progress.phase("verify")
    _verify(partial, params)
    found = check_image(copied)
    if not found.sound:
        raise EngineError(f"The reverted copy of {path} is not sound, and was thrown away.", check=found.as_dict())
    fault_point("snapshot:before-publish")
    progress.phase("publish")
    publish_copy(
        partial,
        path,
        before=before,
        record=read_record(path),
        same=False,
        reads_same=False,
        search_paths=params["search_paths"],
    )
    return how


def _act(image: Image, acts: list[list[str]], lock: int) -> None:
    verbs = {"create": CREATE, "revert": APPLY, "delete": DELETE}
    for verb, name in acts:
        fault_point(f"snapshot:before-{verb}")
        change_snapshots(image, verbs[verb], name, pass_fds=(lock,))
        fault_point(f"snapshot:after-{verb}")


def _verify(path: str, params: dict[str, Any]) -> None:
    """Read the tables back by our own parser: the snapshots that shall be there, and the disk at the one it went to."""
    points = read_points(path)
    names = sorted(point.name for point in points.points)
    at = [point.id for point in points.points if point.current]
    wrong = [
        f"the snapshots are {names}, not {sorted(params['names'])}" if names != sorted(params["names"]) else "",
        *(
            f"the disk is not at snapshot {name}"
            for verb, name in params["acts"]
            if verb == "revert" and name not in at
        ),
    ]
    if any(wrong):
        raise EngineError(f"{path}: after the operation {'; '.join(filter(None, wrong))}.")


def _reverts(params: dict[str, Any]) -> bool:
    return any(verb == "revert" for verb, _name in params["acts"])


def _fingerprint(path: str) -> dict[str, Any]:
    found = fingerprint(path)
    return found.as_dict() if found else {}


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], change)
