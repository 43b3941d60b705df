# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deleting an external snapshot: it is forgotten first, then the layers that it alone needed go; the VM runs on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._faults import fault_point
from .._files import real_path
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot, snapshots
from .._hypervisor.snapshots_external import describe_anew, described, forget_snapshot, rest_on
from .._hypervisor.sources import disks_of
from .operation import Tools
from .vm_console_past import forget_console
from .vm_snapshot_changeover import require_listed
from .vm_snapshot_journal import Journal, read_journal
from .vm_snapshot_merge import tidy_layers
from .vm_snapshot_revert import made_for_snapshots
from .vm_snapshot_tree import formats_of, tree_of


def delete_external(
    domain: Domain, connection: Connection, params: dict[str, Any], names: list[str], tools: Tools
) -> None:
    """Delete the snapshots `names`, children first. At every moment the guest reads what it wrote."""
    found, journal = snapshots(domain), read_journal(domain)
    require_listed(domain, journal)
    _adopt(domain, journal, [snapshot for snapshot in found if snapshot.name in names])
    stay = {snapshot.name: _layers(snapshot) for snapshot in found if snapshot.name not in names and snapshot.layers}
    journal.note(forgetting={"names": names, "layers": stay})
    forget_marked(domain)
    tidy_layers(domain, connection, tools, timeout=params["timeout"])


def _layers(snapshot: Snapshot) -> dict[str, list[str]]:
    disks = [] if snapshot.definition is None else disks_of(snapshot.definition)
    return {disk.target: [disk.path, disk.format] for disk in disks if disk.target in snapshot.layers}


def forget_marked(domain: Domain) -> None:
    """Let libvirt forget the snapshots of the mark, and know again what it knew of the others.

    libvirt 9.0 lets the children of a snapshot that it forgets name the layer below theirs, as if it had merged them.
    """
    journal = read_journal(domain)
    mark = journal.forgetting
    if not mark:
        return
    there = {found.name for found in snapshots(domain)}
    for name in reversed([name for name in mark["names"] if name in there]):
        fault_point("vm_snapshot:before-forget")
        forget_snapshot(domain, name)
        forget_console(domain, name)
    fault_point("vm_snapshot:forgotten")
    for snapshot in snapshots(domain):
        right = mark["layers"].get(snapshot.name)
        if right and _layers(snapshot) != right:
            _put_right(domain, snapshot, {target: (path, format) for target, (path, format) in right.items()})
            fault_point("vm_snapshot:put-right")
    journal.note(forgetting=None)


def _put_right(domain: Domain, snapshot: Snapshot, layers: Mapping[str, tuple[str, str]]) -> None:
    root = described(domain, snapshot.name)
    for definition in (root.find("domain"), root.find("inactiveDomain")):
        if definition is not None:
            rest_on(definition, layers)
    describe_anew(domain, root, current=snapshot.current)


def _adopt(domain: Domain, journal: Journal, gone: list[Snapshot]) -> None:
    journal.formats = formats_of(domain, journal, gone)
    journal.own |= made_for_snapshots(domain)
    journal.managed |= {real_path(path) for found in gone for path in found.layers.values()}
    for found in gone:
        if found.memory_file:
            journal.beside.setdefault(found.name, {})["memory"] = found.memory_file


def merges_after(domain: Domain, names: list[str], tools: Tools) -> list[str]:
    """What deleting the snapshots will do to the layers, told in order."""
    journal, found = read_journal(domain), snapshots(domain)
    _adopt(domain, journal, [snapshot for snapshot in found if snapshot.name in names])
    left = [snapshot for snapshot in found if snapshot.name not in names]
    return [act.title for act in tree_of(domain, journal, left, tools).acts()]
