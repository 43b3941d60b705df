# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the planner of snapshots' kinds has to know of a VM."""

from __future__ import annotations

from typing import Any

from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots_external import has_checkpoints
from .._hypervisor.xml import Element, get
from .vm_clone_facts import nvram_of
from .vm_snapshot_kind import DiskFacts, VmFacts, Wish
from .vm_snapshot_tree import depth_of, writable_disks
from .vm_snapshot_world import World


def facts_of(domain: Domain, connection: Connection, world: World) -> VmFacts:
    """The VM as it is; its state and its snapshots as `world` foresees them."""
    root = domain.xml(inactive=not domain.active)
    disks = tuple(DiskFacts(disk.target, disk.path, disk.format, depth_of(disk)) for disk in writable_disks(domain))
    return VmFacts(
        vm=domain.name,
        state=world.state,
        disks=disks,
        persistent=domain.persistent,
        uefi=_is_uefi(root),
        nvram=nvram_of(root, connection.uri),
        tpm=root.find("devices/tpm") is not None,
        kinds=frozenset(snapshot.kind for snapshot in world.snapshots),
        checkpoints=has_checkpoints(domain),
        version=connection.version,
    )


def _is_uefi(root: Element) -> bool:
    return get(root, "os/@firmware") == "efi" or get(root, "os/loader/@type") == "pflash"


def wish_of(params: dict[str, Any]) -> Wish:
    """What the task asks for."""
    return Wish(params["kind"], params["memory"], bool(params["quiesce"]))
