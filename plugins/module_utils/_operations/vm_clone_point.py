# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's disks at one of its snapshots: an internal one's content in the image, or the layer that an external one left."""

from __future__ import annotations

from collections.abc import Mapping

from .._errors import Conflict, NotFound, Unsupported
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot, snapshots
from .._hypervisor.sources import Disk, disks_of
from .._hypervisor.xml import Element, get
from .operation import Tools
from .usage import domains_using
from .vm_clone_choice import LINK, Choice
from .vm_clone_disk import SourceDisk, inspected, require_file


def disks_of_snapshot(
    domain: Domain, name: str, wanted: Mapping[str, Element], choice: Choice, tools: Tools
) -> list[SourceDisk]:
    """The disks `wanted` as they were at the snapshot; raises NotFound, Conflict or Unsupported."""
    found = [snapshot for snapshot in snapshots(domain) if snapshot.name == name]
    if not found:
        known = ", ".join(snapshot.name for snapshot in snapshots(domain)) or "none"
        raise NotFound(f"snapshot: {domain.name} has no snapshot called {name}; it has: {known}.")
    return [_disk(domain, found[0], target, disk, choice, tools) for target, disk in wanted.items()]


def _disk(domain: Domain, snapshot: Snapshot, target: str, disk: Element, choice: Choice, tools: Tools) -> SourceDisk:
    then = _then(domain, snapshot, target)
    require_file(domain.name, disk)
    if then.path in snapshot.disks:
        return _internal(domain, snapshot, then, linked=choice.of(disk) == LINK)
    users = [user for user in domains_using(then.path, tools) if user.top]
    if users or snapshot.kind != "external":
        raise Conflict(
            f"snapshot: {then.path}, the disk {target} of {domain.name} at the snapshot {snapshot.name}, was written to since; "
            "clone another snapshot, or the VM as it is now."
        )
    return SourceDisk(target, inspected(then.path, then.format or get(disk, "driver/@type", "raw")), frozen=True)


def _then(domain: Domain, snapshot: Snapshot, target: str) -> Disk:
    disks = disks_of(snapshot.definition) if snapshot.definition is not None else []
    for disk in disks:
        if disk.target == target and disk.path:
            return disk
    raise Conflict(
        f"snapshot: at the snapshot {snapshot.name} {domain.name} did not have its disk {target}; leave it out (disks: mode: skip)."
    )


def _internal(domain: Domain, snapshot: Snapshot, then: Disk, *, linked: bool) -> SourceDisk:
    if linked:
        raise Unsupported(
            f"mode: the snapshot {snapshot.name} of {domain.name} is inside of {then.path}, so nothing can rest on it; give mode: full."
        )
    image = inspected(then.path, then.format)
    if snapshot.name not in [one.name for one in image.chain[0].facts.snapshots]:
        raise Conflict(
            f"snapshot: {then.path} holds no snapshot called {snapshot.name} any more; look with 'qemu-img info'."
        )
    return SourceDisk(then.target, image, snapshot=snapshot.name)
