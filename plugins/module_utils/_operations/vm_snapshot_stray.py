# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stray overlays: layers above a disk's declared file that no snapshot and no journal knows; and adopting them.

A backup that broke off, or `virsh snapshot-create --no-metadata`, leaves such ones. Adopted, they are a snapshot's: it can be
reverted to, and deleting it merges them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import ImageOpsError
from .._files import real_path
from .._formats.chain import BACKING, IMAGE, inspect_chain
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot, snapshots
from .._hypervisor.snapshots_external import note_snapshot
from .operation import Tools
from .vm_plain import declared_paths
from .vm_snapshot_journal import read_journal
from .vm_snapshot_kind import EXTERNAL

_RAW = "raw"


@dataclass(frozen=True)
class Stray:
    """A disk with stray overlays, the active one first, and the layer below them."""

    target: str
    overlays: tuple[str, ...]
    base: str
    base_format: str


def layers_of(path: str, format: str) -> list[tuple[str, str]]:
    """Real path and format of each layer, the top one first; nothing where the chain can't be followed."""
    if not path or not os.path.exists(path):
        return []
    if format == _RAW:
        return [(real_path(path), _RAW)]
    try:
        links = inspect_chain(path, declared=format or None)
    except ImageOpsError:
        return []
    return [(link.real_path, link.facts.format) for link in links if link.role in (IMAGE, BACKING)]


def strays_of(domain: Domain, found: Iterable[Snapshot], known: Iterable[str]) -> list[Stray]:
    """The stray overlays of a VM whose disks `vm` declared; of others nobody can say what they should rest on."""
    declared = {target: real_path(path) for target, path in declared_paths(domain.xml()).items() if path}
    ours = {*known, *_named(found)}
    return [stray for stray in (_stray(disk, declared, ours) for disk in domain.disks(inactive=True)) if stray]


def _named(found: Iterable[Snapshot]) -> set[str]:
    external = [snapshot for snapshot in found if snapshot.kind == EXTERNAL]
    names = {path for one in external for path in (*one.layers.values(), *one.overlays.values()) if path}
    return set(map(real_path, names))


def _stray(disk: Any, declared: Mapping[str, str], ours: set[str]) -> Stray | None:
    wanted = declared.get(disk.target)
    if not wanted or not disk.path or real_path(disk.path) == wanted:
        return None
    chain = layers_of(disk.path, disk.format)
    above: list[str] = []
    for path, format in chain:
        if path == wanted or path in ours:
            return Stray(disk.target, tuple(above), path, format) if above else None
        above.append(path)
    return None


def adopt(domain: Domain, params: dict[str, Any], tools: Tools) -> None:
    """Make a snapshot of the layers below the stray overlays, which are then overlays of a snapshot like others."""
    journal, found = read_journal(domain), snapshots(domain)
    strays = strays_of(domain, found, journal.own)
    overlays = {path for stray in strays for path in stray.overlays}
    journal.note(
        own=journal.own | overlays,
        managed=journal.managed | {stray.base for stray in strays},
        formats={**journal.formats, **{stray.base: stray.base_format for stray in strays}},
    )
    note_snapshot(
        domain,
        params["name"],
        description=params["description"] or "",
        layers={stray.target: (stray.base, stray.base_format) for stray in strays},
        overlays={stray.target: stray.overlays[-1] for stray in strays},
        parent=next((snapshot.name for snapshot in found if snapshot.current), ""),
        created=int(tools.clock.time()),
    )
