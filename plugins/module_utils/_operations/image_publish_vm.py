# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM as the source of an image: its disks, its UEFI variables, and its description without what belongs to its host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import Conflict, InUse, InvalidOption, NotFound, Unsupported
from .._formats.chain import BACKING, inspect_chain
from .._formats.names import canonical_format
from .._hypervisor.connection import require_local
from .._hypervisor.domain import Domain
from .._hypervisor.library import calling
from .._hypervisor.sources import source_path
from .._hypervisor.xml import Element, get
from .._qemu.image_locks import holders
from .image_publish_description import description_of
from .image_publish_request import CONTAINERDISK, SourceDisk, SourceVm, source_disk
from .image_publish_variables import left_out, source_variables
from .inspection import Inspected, inspect
from .operation import Tools
from .pull_domain import require_readable
from .vm_clone_still import require_holdable

_ENCRYPTED = ("encryption", "source/encryption")


def source_of_vm(params: dict[str, Any], tools: Tools) -> tuple[list[SourceDisk], SourceVm]:
    """The VM's disks and what else of it is published; raises NotFound, Conflict, InUse, Unsupported or UnsafeImage."""
    require_local(params["uri"])
    domain = tools.hypervisor(params["uri"]).domain(params["vm"])
    if domain is None:
        raise NotFound(f"vm: there is no VM called {params['vm']} on {params['uri']}; correct the name.")
    running, hold = domain.active, params["quiesce_timeout"] if params["quiesce"] else 0
    if hold and running:
        require_holdable(domain, limit=hold)
    disks = _running_disks(domain) if running else [disk for disk, _image in stopped_disks(domain)]
    root = domain.xml()
    told = description_of(root, [disk.name for disk in disks])
    warnings = list(left_out(root))
    variables = None
    if params["layout"] != CONTAINERDISK:
        variables = source_variables(root, params["uri"], running=running)
    return disks, SourceVm(domain.name, params["uri"], domain.uuid, running, hold, told, variables, warnings)


def stopped_disks(domain: Domain) -> list[tuple[SourceDisk, Inspected]]:
    """The disks of a stopped VM as they were inspected; raises Conflict, InUse, InvalidOption, Unsupported or UnsafeImage."""
    with calling(f"looking at the domain {domain.name}"):
        saved = bool(domain.raw.hasManagedSaveImage(0))
    if saved:
        raise Conflict(
            f"vm: {domain.name} is stopped with its memory saved (managed save), so its disks alone are torn; start it and shut it "
            f"down, or drop its memory with 'virsh managedsave-remove {domain.name}'."
        )
    return [_stopped_disk(domain, disk) for disk in _disks(domain.xml())]


def _stopped_disk(domain: Domain, disk: Element) -> tuple[SourceDisk, Inspected]:
    """The chain is what libvirt gives this VM anyway, so its backing files count as declared."""
    path, format = _file_of(domain, disk), get(disk, "driver/@type", "raw")
    found = holders(path)
    if found is not None and found.writing:
        raise InUse(
            f"vm: {path}, a disk of the stopped VM {domain.name}, is {found.sentence()}; wait for it or stop it."
        )
    chain = inspect_chain(path, declared=canonical_format(format, option="vm"))
    below = [link.real_path for link in chain if link.role == BACKING]
    image = inspect(path, declared=format, backing=below, option="vm")
    return source_disk(get(disk, "target/@dev"), image), image


def _running_disks(domain: Domain) -> list[SourceDisk]:
    """Only what libvirt tells of them, since QEMU writes to their tables."""
    require_readable(domain)
    found = []
    for disk in _disks(domain.xml(inactive=False)):
        path = _file_of(domain, disk)
        found.append(SourceDisk(get(disk, "target/@dev"), path, get(disk, "driver/@type", "raw"), []))
    return found


def _disks(root: Element) -> Iterator[Element]:
    """What the guest may write to; media of drives are nobody's disk."""
    for disk in root.iterfind("devices/disk"):
        if disk.get("device", "disk") == "disk" and disk.find("source") is not None and disk.find("readonly") is None:
            yield disk


def _file_of(domain: Domain, disk: Element) -> str:
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
