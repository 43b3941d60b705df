#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One act of a qemu-storage-daemon, by the collection's own code, on images that nobody else has open; for the target alone."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import bitmaps, block_jobs
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.block_graph import chain_nodes, file_node, layer
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.node import Image
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.storage_daemon import StorageDaemon, storage_daemon

_TARGET = "target"
_SPEC: dict[str, Any] = {
    "act": {"required": True},
    "layers": {"type": "list", "elements": "path", "required": True},
    "target": {"type": "path"},
    "sync": {"default": "full"},
    "speed": {"type": "int"},
    "bitmap": {},
    "sources": {"type": "list", "elements": "str"},
    "stop_after": {"type": "int"},
}


class Stopped(Exception):
    """What a cancelled job raises where it reports its progress."""


class Told:
    """The progress that was reported; raises Stopped when more than `most` bytes are done."""

    def __init__(self, most: int | None) -> None:
        self.reports: list[tuple[int, int]] = []
        self._most = most

    def __call__(self, done: int, total: int) -> None:
        self.reports.append((done, total))
        if self._most is not None and done > self._most:
            raise Stopped


def target_node(params: dict[str, Any]) -> dict[str, Any]:
    """The image that is written; what it lacks comes from the source's own base with `top`, else from nowhere."""
    file = file_node(params["target"], node_name="target-file", write=True)
    backing = layer(1) if params["sync"] == "top" else None
    return {"driver": "qcow2", "node-name": _TARGET, "file": file, "read-only": False, "backing": backing}


def copy(daemon: StorageDaemon, params: dict[str, Any], told: Told) -> None:
    """Mirror or backup."""
    daemon.add([target_node(params)])
    more = {"bitmap": params["bitmap"]} if params["bitmap"] else {}
    job = getattr(block_jobs, params["act"])
    job(daemon, target=_TARGET, sync=params["sync"], speed=params["speed"], report=told, **more)


_ACTS: dict[str, Callable[[StorageDaemon, dict[str, Any], Told], None]] = {
    "look": lambda daemon, params, told: None,
    "add": lambda daemon, params, told: bitmaps.add_bitmap(daemon, params["bitmap"], granularity=65536),
    "clear": lambda daemon, params, told: bitmaps.clear_bitmap(daemon, params["bitmap"]),
    "remove": lambda daemon, params, told: bitmaps.remove_bitmap(daemon, params["bitmap"]),
    "merge": lambda daemon, params, told: bitmaps.merge_bitmaps(daemon, params["bitmap"], params["sources"]),
    "mirror": copy,
    "backup": copy,
}


def work(params: dict[str, Any], told: Told) -> dict[str, Any]:
    images = [Image(path, "qcow2") for path in params["layers"]]
    with storage_daemon() as daemon:
        daemon.add(chain_nodes(images, writable={0}))
        _ACTS[params["act"]](daemon, params, told)
        return {"bitmaps": {each.name: asdict(each) for each in bitmaps.list_bitmaps(daemon)}}


def main() -> None:
    module = AnsibleModule(_SPEC)
    told, began = Told(module.params["stop_after"]), time.monotonic()
    found: dict[str, Any] = {"stopped": False}
    try:
        found.update(work(module.params, told))
    except Stopped:
        found["stopped"] = True
    module.exit_json(changed=True, told=told.reports, seconds=time.monotonic() - began, **found)


if __name__ == "__main__":
    main()
