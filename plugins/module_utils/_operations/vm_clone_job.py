# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of clones' disks: read a running VM once, or copy what nobody writes to; edit; then give all of them their names."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Mapping
from typing import Any

from .._errors import Conflict
from .._faults import fault_point
from .._files import partial_path, remove
from .._formats.encoder import Encoder
from .._formats.qcow2_writer import write_qcow2
from .._formats.raw_writer import write_raw
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._records import publish_with_record, read_record
from .file_copy import clone, copy_data
from .guest_identity_edit import edit_identity
from .operation import Tools
from .pacing import paced
from .pull_reader import PulledDisk, pull_backup
from .pull_source import Source, pull_folder
from .vm_clone_copy import CloneDisk, new_file
from .vm_clone_still import Still
from .vm_clone_work import disk_from

_CLUSTER, _VERSION = 64 << 10, 3
# QEMU stores clusters as they are unless asked, and so do we.
_PLAIN = Encoder("none", lambda data, most: None)


def make_clones(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Make the disks of the clones that `params` (vm_clone_group.Group.params) name; facts for the task's result.

    Whatever is killed, a name shows a whole disk or nothing, and the source isn't touched.
    """
    clones = {one["name"]: [disk_from(disk) for disk in one["disks"]] for one in params["clones"]}
    disks = [disk for each in clones.values() for disk in each]
    partials = [partial_path(disk.path) for disk in disks]
    progress.leaves(*partials, pull_folder(params["uuid"]))
    tools = Tools(version=params["version"])
    try:
        for path in partials:
            remove(path)
        _require_same(params, disks)
        told = _Making(params, tools, progress, lock).all(disks)
        for one in params["clones"]:
            if one["edit"]:
                progress.phase(f"edit {one['name']}")
                edit_identity(clones[one["name"]], one["name"], lock=lock)
                fault_point("clone:edited")
        progress.phase("publish")
        fault_point("clone:before-publish")
        for disk in disks:
            _publish(disk, params["version"], told.get("point", ""))
            fault_point("clone:published")
        return {**told, "clones": sorted(clones)}
    finally:
        for path in partials:
            remove(path)
        tools.close()


def _require_same(params: dict[str, Any], disks: list[CloneDisk]) -> None:
    """Raise Conflict when a source was written to since the task was planned."""
    for disk in disks:
        disk.require_same(params["sources"].get(disk.source.path))


def _publish(disk: CloneDisk, version: str, point: str) -> None:
    there = read_record(disk.path) if os.path.lexists(disk.path) else None
    if os.path.lexists(disk.path) and (there is None or there.options.get("vm") != disk.vm):
        raise Conflict(f"name: {disk.path} was made by somebody else in the meantime; it was left as it is.")
    publish_with_record(partial_path(disk.path), disk.path, disk.record(version, point=point))


class _Making:
    """Fills the hidden files."""

    def __init__(self, params: dict[str, Any], tools: Tools, progress: Progress, lock: int) -> None:
        self._params = params
        self._tools = tools
        self._progress = progress
        self._lock = lock

    def all(self, disks: list[CloneDisk]) -> dict[str, Any]:
        """Pulled ones first, since they hold the source's backup open; facts of the reading."""
        pulled: dict[str, list[CloneDisk]] = {}
        for disk in disks:
            if disk.pulled:
                pulled.setdefault(disk.target, []).append(disk)
        told = self._pull(pulled) if pulled else {"method": "copy"}
        for same in pulled.values():
            for disk in same[1:]:
                self._copy(same[0], disk)
        for disk in disks:
            if not disk.pulled:
                self._fill(disk)
        return told

    def _pull(self, pulled: Mapping[str, list[CloneDisk]]) -> dict[str, Any]:
        self._progress.phase("begin the backup")
        source = Source(self._params["source"], self._params["uri"])
        still = Still(source, self._params["quiesce_timeout"], self._tools)
        with pull_backup(source, list(pulled), tools=self._tools, around=still.held()) as contents:
            began = time.time()
            for target, disks in pulled.items():
                self._progress.phase(f"read {target}", total=contents[target].size)
                self._read(contents[target], disks[0])
        fault_point("clone:backup-ended")
        moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began))
        told = {"method": "pull", "moment": moment, "point": str(uuid.uuid4())}
        return told if still.seconds is None else {**told, "frozen_seconds": round(still.seconds, 3)}

    def _read(self, content: PulledDisk, disk: CloneDisk) -> None:
        partial = partial_path(disk.path)
        new_file(partial)
        report = paced(self._progress, self._params["bandwidth"], fault="clone:while-reading")
        handle = os.open(partial, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if disk.format == "raw":
                write_raw(content, handle, report=report)
            else:
                write_qcow2(content, handle, cluster_size=_CLUSTER, version=_VERSION, encoder=_PLAIN, report=report)
        finally:
            os.close(handle)

    def _copy(self, first: CloneDisk, disk: CloneDisk) -> None:
        """A further clone of the same moment: the first one's file again."""
        partial = partial_path(disk.path)
        new_file(partial)
        with open(partial_path(first.path), "rb") as old, open(partial, "r+b") as new:
            self._progress.phase(f"copy {disk.target} of {disk.vm}", total=os.fstat(old.fileno()).st_size)
            if not clone(old.fileno(), new.fileno()):
                copy_data(old.fileno(), new.fileno(), self._progress.update, bandwidth=self._params["bandwidth"])
        fault_point("clone:copied")

    def _fill(self, disk: CloneDisk) -> None:
        size = disk.source.virtual_size
        self._progress.phase(f"copy {disk.target} of {disk.vm}", total=size)
        report = self._progress.update
        disk.fill(
            partial_path(disk.path),
            lambda percent: report(int(size * percent / 100)),
            pass_fds=(self._lock,),
            rate_limit=self._params["bandwidth"],
        )
        fault_point("clone:copied")


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], make_clones)
