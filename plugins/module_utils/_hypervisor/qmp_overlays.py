# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""External snapshots of a QEMU process: new overlays for all disks at one moment, and their merge while it runs."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from typing import Any

from .._errors import Conflict, EngineError
from .._faults import fault_point
from .._files import remove
from .qmp_disks import QmpDisk
from .qmp_jobs import has_job, job_id, run_job
from .qmp_process import QemuProcess
from .sources import Layer

_PERMISSIONS = 0o666


def put_overlays(process: QemuProcess, overlays: Mapping[str, QmpDisk], *, timeout: float) -> float:
    """Let each disk go on in its new file, all at one moment, or none; the seconds that the change took."""
    for path in overlays:
        _require_free(process, path)
    try:
        for path, disk in overlays.items():
            _make(process, path, disk, timeout=timeout)
        fault_point("qmp_snapshot:before-switch")
        began = time.monotonic()
        process.execute("transaction", {"actions": [_switch(path, disk) for path, disk in overlays.items()]})
        return time.monotonic() - began
    except EngineError:
        for path in overlays:
            _give_up(process, path)
        raise


def _require_free(process: QemuProcess, path: str) -> None:
    """Remove what an interrupted run left; raises Conflict for a file that isn't of that."""
    nodes = _nodes(process)
    ours = _format_node(path) in nodes or _file_node(path) in nodes
    if not ours and os.path.lexists(path) and os.path.getsize(path):
        raise Conflict(f"name: {path} is there already, and isn't in use; remove it, or take another name.")
    _give_up(process, path)


def _make(process: QemuProcess, path: str, disk: QmpDisk, *, timeout: float) -> None:
    """An empty overlay that is open in the process, and not yet anybody's."""
    _create(process, path, {"driver": "file", "filename": path, "size": 0}, timeout=timeout)
    os.chmod(path, os.stat(disk.path).st_mode & _PERMISSIONS)
    process.execute("blockdev-add", {"driver": "file", "node-name": _file_node(path), "filename": path})
    fault_point("qmp_snapshot:half-made")
    header = {"driver": "qcow2", "file": _file_node(path), "size": disk.size}
    _create(process, path, {**header, "backing-file": disk.path, "backing-fmt": disk.format}, timeout=timeout)
    node = {"driver": "qcow2", "node-name": _format_node(path), "file": _file_node(path), "backing": None}
    process.execute("blockdev-add", node)


def _create(process: QemuProcess, path: str, options: dict[str, Any], *, timeout: float) -> None:
    identity = job_id("create", path)
    run_job(process, "blockdev-create", {"options": options}, identity=identity, timeout=timeout)


def _switch(path: str, disk: QmpDisk) -> dict[str, Any]:
    return {"type": "blockdev-snapshot", "data": {"node": disk.node, "overlay": _format_node(path)}}


def _give_up(process: QemuProcess, path: str) -> None:
    _close(process, path)
    remove(path)


def _close(process: QemuProcess, path: str) -> None:
    """Let the process close the file, which no disk uses."""
    nodes = _nodes(process)
    for node in (_format_node(path), _file_node(path)):
        if node in nodes:
            process.execute("blockdev-del", {"node-name": node})


def is_merging(process: QemuProcess, path: str) -> bool:
    """Whether a merge of the overlay was begun, and not ended by a run of ours."""
    return has_job(process, job_id("merge", path))


def merge_overlay(process: QemuProcess, path: str, disk: QmpDisk, *, timeout: float) -> None:
    """Write what the overlay holds into the layer below, let the disk go on without it, and remove it."""
    places = [layer.path for layer in disk.layers]
    arguments: dict[str, Any] = {}
    if path in places:
        top, base = disk.layers[places.index(path)], disk.layers[places.index(path) + 1]
        arguments = {"device": disk.node, "base-node": _node_of(process, base), "auto-dismiss": False}
        if top is not disk.layers[0]:
            arguments["top-node"] = _node_of(process, top)

    def finish() -> None:
        fault_point("qmp_snapshot:merged")
        # The job holds the file open as long as QEMU knows it; its name can go before.
        remove(path)

    identity = job_id("merge", path)
    run_job(process, "block-commit", arguments, identity=identity, timeout=timeout, finish=finish)
    _close(process, path)


def _node_of(process: QemuProcess, layer: Layer) -> str:
    """The node of a layer; raises EngineError when it can't be told which one it is."""
    found = [
        name for name, node in _nodes(process).items() if (node["file"], node["drv"]) == (layer.path, layer.format)
    ]
    if len(found) != 1:
        raise EngineError(
            f"QEMU at {process.path} has {layer.path} open {len(found)} times, and it can't be told which is this disk's layer; "
            f"detach the others first."
        )
    return found[0]


def _nodes(process: QemuProcess) -> dict[str, dict[str, Any]]:
    answer = process.execute("query-named-block-nodes", {"flat": True})
    return {node["node-name"]: node for node in answer}


def _format_node(path: str) -> str:
    return f"imageops-{_digest(path)}"


def _file_node(path: str) -> str:
    return f"imageops-file-{_digest(path)}"


def _digest(path: str) -> str:
    """QEMU's node names have at most 31 characters."""
    return hashlib.sha256(path.encode()).hexdigest()[:14]
