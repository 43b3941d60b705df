# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups of a QEMU process in pull mode: its disks as they were at one moment, over NBD on a Unix socket (qapi/block-core.json).

Each disk gets a scratch node whose backing node is the disk itself; a job copies there what the guest is about to overwrite, so
what is read through it stays as it was. Nodes, jobs and exports have names of ours: the run after one that was killed finds them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from .._errors import EngineError, InUse
from .._faults import fault_point
from .qmp_process import QemuProcess

# QEMU's node names have at most 31 characters.
_PREFIX = "imageops-pull-"
_FILE = f"{_PREFIX}file-"


def begin_pull(process: QemuProcess, *, socket: str, scratch: Mapping[str, str]) -> None:
    """Begin to show the disks in `scratch` on `socket`, each as an export named like its target, all of the same moment.

    `scratch` has for each target an empty qcow2 file of the disk's size. Raises InUse when the process has an NBD server already.
    """
    nodes = {disk.target: disk.node for disk in process.disks()}
    gone = [target for target in scratch if target not in nodes]
    if gone:
        raise EngineError(f"source: {process.name} has no disk {gone[0]} any more; run the task again.")
    _start_server(process, socket)
    actions = []
    for number, (target, path) in enumerate(scratch.items()):
        name = f"{_PREFIX}{number}"
        _open_scratch(process, path, number, below=nodes[target])
        job = {"job-id": name, "device": nodes[target], "target": name, "sync": "none"}
        actions.append({"type": "blockdev-backup", "data": job})
    fault_point("qmp_pull:half-begun")
    process.execute("transaction", {"actions": actions})
    for number, target in enumerate(scratch):
        name = f"{_PREFIX}{number}"
        export = {"type": "nbd", "id": name, "node-name": name, "name": target, "writable": False}
        process.execute("block-export-add", export)


def _start_server(process: QemuProcess, socket: str) -> None:
    address = {"type": "unix", "data": {"path": socket}}
    try:
        process.execute("nbd-server-start", {"addr": address, "max-connections": 0})
    except EngineError as error:
        if "already running" not in str(error):
            raise
        raise foreign_server(process) from None


def foreign_server(process: QemuProcess) -> InUse:
    """A process has one NBD server, and somebody else uses it."""
    return InUse(
        f"source: somebody else's backup of {process.name}, or another use of its NBD server, is under way; run the task again when "
        f"it has ended."
    )


def _open_scratch(process: QemuProcess, path: str, number: int, *, below: str) -> None:
    file, name = f"{_FILE}{number}", f"{_PREFIX}{number}"
    process.execute("blockdev-add", {"driver": "file", "node-name": file, "filename": path})
    process.execute("blockdev-add", {"driver": "qcow2", "node-name": name, "file": file, "backing": below})


def is_served_by_others(process: QemuProcess) -> bool:
    """Whether its NBD server shows what isn't ours."""
    return any(export["type"] == "nbd" and not _is_ours(export["id"]) for export in _exports(process))


def is_pulled(process: QemuProcess, count: int) -> bool:
    """Whether a backup of ours goes on with so many disks."""
    jobs = [job for job in process.execute("query-jobs") if _is_ours(job["id"]) and job["status"] == "running"]
    return len(jobs) == count and len([one for one in _exports(process) if _is_ours(one["id"])]) == count


def end_pull(process: QemuProcess, *, serves: bool) -> bool:
    """Ask for the end of what there is of a backup of ours, and say whether nothing is left; to be asked again until then.

    `serves` says that the process' NBD server is ours.
    """
    if serves:
        with contextlib.suppress(EngineError):
            process.execute("nbd-server-stop")
    for export in _exports(process):
        if _is_ours(export["id"]):
            _try(process, "block-export-del", {"id": export["id"], "mode": "hard"})
    for job in process.execute("query-jobs"):
        if _is_ours(job["id"]):
            over = job["status"] == "concluded"
            _try(process, "job-dismiss" if over else "job-cancel", {"id": job["id"]})
    # The scratch nodes first: they hold the others.
    for name in sorted(_nodes(process), key=lambda name: name.startswith(_FILE)):
        _try(process, "blockdev-del", {"node-name": name})
    return not (_nodes(process) or any(_is_ours(job["id"]) for job in process.execute("query-jobs")))


def _try(process: QemuProcess, command: str, arguments: dict[str, Any]) -> None:
    """What is still held by another part can't go yet."""
    with contextlib.suppress(EngineError):
        process.execute(command, arguments)


def _exports(process: QemuProcess) -> list[dict[str, Any]]:
    return list(process.execute("query-block-exports"))


def _nodes(process: QemuProcess) -> list[str]:
    found = process.execute("query-named-block-nodes", {"flat": True})
    return [node["node-name"] for node in found if _is_ours(node["node-name"])]


def _is_ours(name: str) -> bool:
    return name.startswith(_PREFIX)
