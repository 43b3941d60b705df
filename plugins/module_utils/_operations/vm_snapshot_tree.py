# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of a VM's external snapshots as they are on the host."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from .._files import fingerprint, real_path
from .._formats.chain import inspect_chain
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot
from .._hypervisor.sources import Disk, disks_of
from .._qemu.image_locks import holders
from .image_layers import Layers
from .operation import Tools
from .vm_snapshot_journal import Journal
from .vm_snapshot_kind import EXTERNAL
from .vm_snapshot_layers import LayerTree, Merge

RAW = "raw"


def writable_disks(domain: Domain) -> list[Disk]:
    """The disks that a snapshot of the VM holds."""
    return [disk for disk in domain.disks(inactive=not domain.active) if disk.chain and not disk.readonly]


def depth_of(disk: Disk) -> int:
    """Layers in the disk's chain."""
    if len(disk.chain) > 1 or not disk.path or disk.format == RAW or not fingerprint(disk.path):
        return len(disk.chain)
    return len(list(Layers().chain(disk.path)))


def virtual_size(path: str, format: str) -> int:
    """Bytes that the guest sees, by our parser."""
    return inspect_chain(path, declared=format)[0].facts.virtual_size


def formats_of(domain: Domain, journal: Journal, found: Iterable[Snapshot]) -> dict[str, str]:
    """The format of every layer that libvirt or the journal tells of; nothing is probed."""
    known = dict(journal.formats)
    for snapshot in found:
        for disk in [] if snapshot.definition is None else disks_of(snapshot.definition):
            known.setdefault(real_path(disk.path), disk.format)
    for inactive in (True, False):
        for disk in domain.disks(inactive=inactive):
            known.update({real_path(layer.path): layer.format for layer in disk.chain if layer.path and layer.format})
    known.update({path: "qcow2" for path in journal.own})
    return known


def tree_of(domain: Domain, journal: Journal, found: Collection[Snapshot], tools: Tools) -> LayerTree:
    """The tree, with what others need of the layers that would change."""
    external = [snapshot for snapshot in found if snapshot.kind == EXTERNAL]
    formats = formats_of(domain, journal, external)
    active = {
        real_path(disk.path) for inactive in (True, False) for disk in domain.disks(inactive=inactive) if disk.path
    }
    named = {real_path(path) for snapshot in external for path in snapshot.layers.values()}
    tree = LayerTree(
        below=_below({*active, *named, *journal.own, *journal.managed}, formats),
        named=frozenset(named),
        active=frozenset(active),
        own=frozenset(journal.own),
        managed=frozenset(journal.managed),
    )
    # A libvirt that was killed leaves QEMU with layers that nothing rests on (see vm_snapshot_changeover), until the VM stops.
    held = {path for path in tree.own - tree.active if not tree.overlays(path)} if domain.active else set()
    return _with_foreign(replace(tree, foreign=frozenset(path for path in held if holders(path))), domain, tools)


def _below(paths: Iterable[str], formats: dict[str, str]) -> dict[str, str]:
    """The backing file of each layer; a raw one has none, whatever the guest wrote to its start."""
    layers, below, waiting = Layers(), dict[str, str](), [path for path in paths if fingerprint(path)]
    while waiting:
        path = waiting.pop()
        if path in below:
            continue
        below[path] = "" if formats.get(path) == RAW else layers.below(path)
        if below[path] and fingerprint(below[path]):
            waiting.append(below[path])
    return below


def _with_foreign(tree: LayerTree, domain: Domain, tools: Tools) -> LayerTree:
    """Look at each layer that would go or change for users that aren't of this VM, until nothing new is found."""
    looked: set[str] = set()
    while True:
        acts = tree.acts()
        touched = {path for act in acts for path in ((act.top, act.base) if isinstance(act, Merge) else (act.path,))}
        if touched <= looked:
            return tree
        foreign = {path for path in touched - looked if _foreign(path, tree, domain, tools)}
        looked |= touched
        tree = replace(tree, foreign=tree.foreign | foreign)


def _live(domain: Domain) -> set[str]:
    """What the VM's own process has open."""
    disks = domain.disks() if domain.active else []
    return {real_path(layer.path) for disk in disks for layer in disk.chain if layer.path}


def _foreign(path: str, tree: LayerTree, domain: Domain, tools: Tools) -> bool:
    from .usage import DOMAIN, ENGINE, refuse, users_of

    if not fingerprint(path):
        return False
    users = users_of(path, tools)
    # A program that has a layer of ours open ends some time: that's no reason to leave the layer for ever. The VM itself is
    # none, also where it belongs to a libvirt that isn't asked for users.
    if path not in _live(domain):
        refuse(path, [user for user in users if user.kind == ENGINE])
    users = [user for user in users if user.kind != ENGINE]
    return any(
        user.name != domain.name if user.kind == DOMAIN else real_path(user.name) not in tree.below for user in users
    )
