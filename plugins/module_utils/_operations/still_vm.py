# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a VM as whoever reads them wants them: files and block devices that nobody else has."""

from __future__ import annotations

from collections.abc import Iterator

from .._errors import Conflict, InUse, InvalidOption, Unsupported
from .._formats.chain import BACKING, inspect_chain
from .._formats.names import canonical_format
from .._hypervisor.domain import Domain
from .._hypervisor.library import calling
from .._hypervisor.sources import source_path
from .._hypervisor.xml import Element, get
from .._qemu.image_locks import holders
from .inspection import Inspected, inspect

_ENCRYPTED = ("encryption", "source/encryption")


def stopped_disks(domain: Domain) -> list[tuple[str, Inspected]]:
    """The disks of a stopped VM, by target, as they were inspected; raises Conflict, InUse, InvalidOption, Unsupported or UnsafeImage."""
    with calling(f"looking at the domain {domain.name}"):
        saved = bool(domain.raw.hasManagedSaveImage(0))
    if saved:
        raise Conflict(
            f"vm: {domain.name} is stopped with its memory saved (managed save), so its disks alone are torn; start it and shut it "
            f"down, or drop its memory with 'virsh managedsave-remove {domain.name}'."
        )
    return [_stopped_disk(domain, disk) for disk in disks_in(domain.xml())]


def _stopped_disk(domain: Domain, disk: Element) -> tuple[str, Inspected]:
    """The chain is what libvirt gives this VM anyway, so its backing files count as declared."""
    path, format = file_of(domain, disk), get(disk, "driver/@type", "raw")
    found = holders(path)
    if found is not None and found.writing:
        raise InUse(
            f"vm: {path}, a disk of the stopped VM {domain.name}, is {found.sentence()}; wait for it or stop it."
        )
    chain = inspect_chain(path, declared=canonical_format(format, option="vm"))
    below = [link.real_path for link in chain if link.role == BACKING]
    image = inspect(path, declared=format, backing=below, option="vm")
    return get(disk, "target/@dev"), image


def disks_in(root: Element) -> Iterator[Element]:
    """What the guest may write to; media of drives are nobody's disk."""
    for disk in root.iterfind("devices/disk"):
        if disk.get("device", "disk") == "disk" and disk.find("source") is not None and disk.find("readonly") is None:
            yield disk


def file_of(domain: Domain, disk: Element) -> str:
    """The file or block device of a disk; raises Unsupported or InvalidOption for others."""
    target, path = get(disk, "target/@dev"), source_path(disk.find("source"))
    if disk.get("type") not in ("file", "block") or not path:
        raise Unsupported(
            f"vm: the disk {target} of {domain.name} is of type {disk.get('type')}, and only disks in files and on block devices are "
            f"read; move it to a file, or name the others by disks."
        )
    if disk.find("shareable") is not None or any(disk.find(tag) is not None for tag in _ENCRYPTED):
        raise Unsupported(
            f"vm: the disk {target} of {domain.name} is shared with other VMs or encrypted, so it is not read; name the others by "
            f"disks."
        )
    if not path.startswith("/"):
        raise InvalidOption(
            f"vm: the disk {target} of {domain.name} has the relative path {path}; give it an absolute one."
        )
    return path
