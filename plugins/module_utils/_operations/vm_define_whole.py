# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The definition of a VM from whole XML."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Collection

from .._errors import ImageOpsError
from .._hypervisor import hardware
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.sources import Disk, disk_of, disks_of
from .._hypervisor.xml import Element, clone, parse, serialise
from .._plan import Step
from . import vm_whole
from .operation import Tools
from .vm_definition import Definition
from .vm_disk_use import claim_given, require_own
from .vm_disks import Attached
from .vm_host import acceleration
from .vm_labels import label_steps, labels_of, set_labels
from .vm_request import VmRequest


def plan_whole(request: VmRequest, domain: Domain | None, connection: Connection, tools: Tools) -> Definition:
    """What has to be done for a VM whose XML the task holds; raises what speaks against it."""
    declared = vm_whole.declared_root(request.plain("xml"), name=request.name)
    existing = domain.xml(secure=True) if domain else None
    root = vm_whole.merged(declared, existing, Attached(domain))
    labels = request.platform.labels
    set_labels(root, (labels_of(existing) if existing is not None else {}) if labels is None else labels)
    digest = vm_whole.digest(declared)
    if existing is not None and vm_whole.is_current(root, existing):
        return _labelled(existing, root, digest, request, connection)
    if hardware.acceleration(root) == "kvm":
        acceleration(connection, "kvm")
    require_media(root, [disk.path for disk in Attached(domain).disks], request, tools)
    title = "define" if existing is None else "change the definition of"
    step = Step(f"{title} {request.name} by the XML given", functools.partial(_define_whole, connection, root))
    before = {} if existing is None else {**hardware.facts(existing), "xml": "(another)"}
    return Definition(root, (step,), before, {**hardware.facts(root), "xml": digest}, ())


def _define_whole(connection: Connection, root: Element) -> None:
    domain = connection.define(serialise(root))
    domain.set_metadata(vm_whole.note_rewritten(root, domain.xml(secure=True)))


def _labelled(existing: Element, root: Element, digest: str, request: VmRequest, connection: Connection) -> Definition:
    """For a VM that is what the XML declares, but perhaps for its labels."""
    found = clone(existing)
    set_labels(found, labels_of(root))
    steps = label_steps(found, existing, request.name, connection)
    before, after = ({"xml": digest, "labels": labels_of(one)} for one in (existing, root))
    return Definition(existing, steps, before, after, ())


def require_media(root: Element, known: Collection[str], request: VmRequest, tools: Tools) -> None:
    """Raise what speaks against a disk in the XML that isn't `known`: it isn't there, isn't safe to open, or is others'."""
    for element in root.findall("devices/disk"):
        disk = disk_of(element)
        if not disk.path or disk.path in known or _is_medium(disk):
            continue
        from .inspection import inspect

        below = [layer.path for layer in disk.chain[1:]]
        # libvirt takes a disk without a format for raw.
        found = inspect(disk.path, declared=disk.format or "raw", backing=below, option="xml")
        writes = not disk.readonly and element.find("shareable") is None
        claim_given([disk.path, *found.files[1:]], request.name, tools, writes=writes, option="xml")
        if writes:
            require_own(disk.path, vm=request.name, tools=tools, search_paths=request.search_paths, option="xml")


def written_paths(text: str | None) -> list[str]:
    """The files of the disks that the XML lets a VM write to; none of XML that planning refuses."""
    if not text:
        return []
    with contextlib.suppress(ImageOpsError):
        found = [disk for disk in disks_of(parse(text)) if disk.path and not disk.readonly]
        return [disk.path for disk in found if disk.device == "disk"]
    return []


def _is_medium(disk: Disk) -> bool:
    """Whether it is a plain medium, which the guest only reads and which may be put in later."""
    return disk.device != "disk" and disk.format in ("", "raw")
