# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything for which taking, reverting or deleting a snapshot is refused, before anything is touched."""

from __future__ import annotations

import re
from typing import Any

from .._errors import Conflict, InUse, InvalidOption, NotFound, Unsupported
from .._files import require_regular, require_space
from .._formats.chain import inspect_chain
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot
from .._hypervisor.sources import Disk
from .._hypervisor.xml import Element, get
from .._qemu.image_locks import holders
from .vm_snapshot_world import World

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:+@-]{0,127}$")
_WAY_OUT = "keep a stopped copy with imageops.fleet.vm_clone instead"


def require_name(name: str) -> None:
    """Raise InvalidOption for a name that libvirt, QEMU or a shell could take for something else."""
    if not _NAME.match(name):
        raise InvalidOption(
            f"name: '{name}' can't name a snapshot; use letters, digits and _.:+@- (not first: .:+@-), at most 128 "
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


def require_internal(world: World) -> None:
    """Raise Unsupported for a VM with external snapshots: mixed chains lose data on some versions of libvirt."""
    external = [snapshot.name for snapshot in world.snapshots if snapshot.kind == "external"]
    if external:
        raise Unsupported(
            f"vm: {world.vm} has external snapshots ({', '.join(external)}), made by another tool, and mixing them "
            "with internal "
            f"ones can lose data; delete them first (virsh snapshot-delete), or revert with virsh."
        )


def require_possible(domain: Domain, root: Element) -> list[Disk]:
    """The disks that an internal snapshot of the VM holds; raises Unsupported where it can't hold the whole VM."""
    if not domain.persistent:
        raise Unsupported(
            f"vm: {domain.name} is transient, and its snapshots would vanish when it stops; define it first."
        )
    _require_plain_firmware(domain.name, root)
    writable = [disk for disk in domain.disks(inactive=not domain.active) if disk.chain and not disk.readonly]
    for disk in writable:
        _require_qcow2(domain.name, disk)
    if not writable:
        raise Unsupported(
            f"vm: {domain.name} has no disk that it may write, so there is nothing to take a snapshot of."
        )
    return writable


def _require_plain_firmware(vm: str, root: Element) -> None:
    if get(root, "os/@firmware") == "efi" or get(root, "os/loader/@type") == "pflash":
        raise Unsupported(
            f"vm: {vm} boots with UEFI, and an internal snapshot would leave out its NVRAM "
            f"({get(root, 'os/nvram') or 'pflash'}); "
            f"{_WAY_OUT}, or use BIOS."
        )
    if root.find("devices/tpm") is not None:
        raise Unsupported(
            f"vm: {vm} has a TPM, and an internal snapshot would leave out its state; {_WAY_OUT}, or remove it."
        )


def _require_qcow2(vm: str, disk: Disk) -> None:
    if not disk.path:
        raise Unsupported(
            f"vm: the disk {disk.target} of {vm} is not a local file, and only qcow2 files hold internal snapshots; "
            f"move it to a qcow2 file."
        )
    if disk.format != "qcow2":
        raise Unsupported(
            f"vm: the disk {disk.target} of {vm} ({disk.path}) is {disk.format or 'of no stated format'}, and only "
            "qcow2 holds "
            f"internal snapshots; convert it with imageops.fleet.disk_convert, or make it read-only."
        )


def wants_memory(params: dict[str, Any], state: str) -> bool:
    """Whether the snapshot holds memory: as the VM runs, unless the option contradicts that."""
    runs = state not in ("stopped", "crashed")
    wanted = params["memory"]
    if wanted is not None and wanted != runs:
        now = "runs" if runs else "is stopped"
        way = "stop it first" if runs else "start it first"
        kind = "a snapshot of its disks alone would be torn" if runs else "there is no memory to keep"
        raise InvalidOption(f"memory: the VM {params['vm']} {now}, so {kind}; {way}, or leave the option out.")
    return runs


def require_room(disks: list[Disk], root: Element, *, vm: str) -> None:
    """Raise NoSpace unless the memory fits beside the first disk, where QEMU puts it."""
    memory = int(get(root, "currentMemory") or get(root, "memory") or "0") * 1024
    require_space(disks[0].path, memory, what=f"The memory of {vm}, kept in its disk {disks[0].target},")


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
                f"name: {path} holds a snapshot '{name}' that libvirt does not know (left by a crash of libvirtd, or "
                "made by "
                f"qemu-img); remove it with 'qemu-img snapshot -d {name} {path}' while the VM is stopped, or take "
                "another name."
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
