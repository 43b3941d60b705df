# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What lies below a VM's disks, and what goes on there: layers with sizes, stray overlays, block jobs, unfinished work."""

from __future__ import annotations

import os
from typing import Any

from .._errors import ImageOpsError, Unsupported
from .._hypervisor.block_jobs import block_jobs
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot, snapshots
from .vm_snapshot_journal import Journal, read_journal
from .vm_snapshot_stray import layers_of, strays_of
from .vm_snapshot_tree import virtual_size

_BLOCK = 512


def layer_facts(domain: Domain, disks: list[dict[str, Any]]) -> dict[str, Any]:
    """Snapshots as a tree, jobs, unfinished work; each disk in `disks` gets its layers and strays."""
    found, journal = _snapshots(domain), read_journal(domain)
    known = {stray.target: list(stray.overlays) for stray in strays_of(domain, found, journal.own)}
    for disk in disks:
        disk["layers"] = [_layer(path, format) for path, format in layers_of(disk["active_path"], disk["format"])]
        disk["stray"] = known.get(disk["target"], [])
    return {
        "snapshots": [_shown(snapshot, found, journal) for snapshot in found],
        "block_jobs": _jobs(domain),
        "unfinished": journal.open,
    }


def _snapshots(domain: Domain) -> list[Snapshot]:
    try:
        return snapshots(domain)
    except Unsupported:
        return []


def _jobs(domain: Domain) -> list[dict[str, Any]]:
    try:
        return block_jobs(domain)
    except Unsupported:
        return []


def _shown(snapshot: Snapshot, found: list[Snapshot], journal: Journal) -> dict[str, Any]:
    beside = {"memory": snapshot.memory_file} if snapshot.memory_file else {}
    return {
        **snapshot.as_dict(),
        "children": sorted(other.name for other in found if other.parent == snapshot.name),
        "disks": dict(snapshot.layers),
        "files": {**journal.beside.get(snapshot.name, {}), **beside},
    }


def _layer(path: str, format: str) -> dict[str, Any]:
    """A file of a chain: what the guest could have of it, and what it takes on the disk."""
    shown: dict[str, Any] = {"path": path, "format": format}
    try:
        found = os.stat(path)
        return {**shown, "virtual_size": virtual_size(path, format), "allocated_size": found.st_blocks * _BLOCK}
    except (ImageOpsError, OSError) as error:
        return {**shown, "error": str(error)}
