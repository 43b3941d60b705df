# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything for which taking, reverting or deleting a snapshot is refused, before anything is touched."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .._errors import Conflict, InUse, InvalidOption, NotFound, Unsupported
from .._files import require_regular, require_space
from .._formats.chain import inspect_chain
from .._hypervisor.snapshots import Snapshot
from .._hypervisor.sources import Disk
from .._hypervisor.xml import Element, get
from .._qemu.image_locks import holders
from .vm_snapshot_world import World

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:+@-]{0,127}\Z")


def require_name(name: str) -> None:
    """Raise InvalidOption for a name that libvirt, QEMU or a shell could take for something else."""
    if not _NAME.match(name):
        raise InvalidOption(
            f"name: {name!a} can't name a snapshot; use letters, digits and _.:+@- (not first: .:+@-), at most 128 "
            "characters."
        )
    require_no_number(name)


def require_no_number(name: str) -> None:
    """Raise InvalidOption for a number: qemu-img takes it for the number of a snapshot, which may be another one."""
    if name.isdigit():
        raise InvalidOption(
            f"name: '{name}' is only a number, and QEMU could take it for the internal number of another snapshot and "
            "bring "
            f"back the wrong one; put a letter in front, such as s{name}."
        )


def require_unmixed(world: World) -> None:
    """Raise Unsupported for a VM with snapshots of both kinds: mixed chains lose data on some versions of libvirt."""
    kinds = {kind: [found.name for found in world.snapshots if found.kind == kind] for kind in ("internal", "external")}
    if all(kinds.values()):
        raise Unsupported(
            f"vm: {world.vm} has internal snapshots ({', '.join(kinds['internal'])}) and external ones "
            f"({', '.join(kinds['external'])}), made by another tool, and libvirt before 11.0 deletes the image that holds an "
            f"internal snapshot together with an external one (see its NEWS); delete one kind with the tool that made it."
        )


def require_no_internal(world: World) -> None:
    """Raise Unsupported where an adopted overlay would be mixed with internal snapshots."""
    names = [found.name for found in world.snapshots if found.kind == "internal"]
    if names:
        raise Unsupported(
            f"adopt: {world.vm} has internal snapshots ({', '.join(names)}), and libvirt before 11.0 deletes the image that holds "
            f"one together with an external snapshot (see its NEWS); delete those first."
        )


def require_room(disks: Sequence[Disk], root: Element, *, vm: str) -> None:
    """Raise NoSpace unless the memory fits beside the first disk, or in it, where it goes."""
    memory = int(get(root, "currentMemory") or get(root, "memory") or "0") * 1024
    require_space(disks[0].path, memory, what=f"The memory of {vm}, kept in or beside its disk {disks[0].target},")


def require_free(paths: list[str], *, vm: str) -> None:
    """Raise InUse or NotFound unless nothing has the disks of the stopped VM open."""
    for path in paths:
        require_regular(path, option="vm")
        found = holders(path)
        if found:
            raise InUse(f"vm: {path}, a disk of {vm}, is {found.sentence()}; wait for it or stop it.")


def require_unknown(paths: list[str], name: str) -> None:
    """Raise Conflict when a disk holds a snapshot of this name that libvirt doesn't know."""
    for path in paths:
        if name in _held_by(path):
            raise Conflict(
                f"name: {path} holds a snapshot '{name}' that libvirt does not know, and that no run of this collection left (qemu-img "
                f"made it, or libvirtd crashed while another tool did); remove it with 'qemu-img snapshot -d {name} {path}' while "
                f"the VM is stopped, or take another name."
            )


def require_held(snapshot: Snapshot) -> None:
    """Raise Conflict unless every disk still holds the snapshot: else a revert would bring back only a part."""
    for path in snapshot.disks:
        require_regular(path, option="name")
        if snapshot.name not in _held_by(path):
            raise Conflict(
                f"name: {path} does not hold the snapshot '{snapshot.name}' that libvirt lists, so a revert would "
                "bring back only "
                f"a part of the VM; delete the snapshot (state: absent), or put back the disk that holds it."
            )


def require_snapshot(world: World, name: str) -> Snapshot:
    """The snapshot to revert to; raises NotFound with the names that there are."""
    found = world.snapshot(name)
    if found is None:
        there = ", ".join(snapshot.name for snapshot in world.snapshots) or "none"
        raise NotFound(f"name: {world.vm} has no snapshot '{name}'; it has: {there}.")
    return found


def _held_by(path: str) -> set[str]:
    return {snapshot.name for snapshot in inspect_chain(path, declared="qcow2")[0].facts.snapshots}
