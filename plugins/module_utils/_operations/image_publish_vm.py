# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM as the source of an image: its disks, its UEFI variables, and its description without what belongs to its host."""

from __future__ import annotations

from typing import Any

from .._errors import NotFound
from .._hypervisor.connection import require_local
from .._hypervisor.domain import Domain
from .._hypervisor.xml import get
from .image_publish_description import description_of
from .image_publish_request import CONTAINERDISK, SourceDisk, SourceVm, source_disk
from .image_publish_variables import left_out, source_variables
from .operation import Tools
from .pull_domain import require_readable
from .still_vm import disks_in, file_of, stopped_disks
from .vm_clone_still import require_holdable


def source_of_vm(params: dict[str, Any], tools: Tools) -> tuple[list[SourceDisk], SourceVm]:
    """The VM's disks and what else of it is published; raises NotFound, Conflict, InUse, Unsupported or UnsafeImage."""
    require_local(params["uri"])
    domain = tools.hypervisor(params["uri"]).domain(params["vm"])
    if domain is None:
        raise NotFound(f"vm: there is no VM called {params['vm']} on {params['uri']}; correct the name.")
    running, hold = domain.active, params["quiesce_timeout"] if params["quiesce"] else 0
    if hold and running:
        require_holdable(domain, limit=hold)
    disks = (
        _running_disks(domain) if running else [source_disk(target, image) for target, image in stopped_disks(domain)]
    )
    root = domain.xml()
    told = description_of(root, [disk.name for disk in disks])
    warnings = list(left_out(root))
    variables = None
    if params["layout"] != CONTAINERDISK:
        variables = source_variables(root, params["uri"], running=running)
    return disks, SourceVm(domain.name, params["uri"], domain.uuid, running, hold, told, variables, warnings)


def _running_disks(domain: Domain) -> list[SourceDisk]:
    """Only what libvirt tells of them, since QEMU writes to their tables."""
    require_readable(domain)
    found = []
    for disk in disks_in(domain.xml(inactive=False)):
        path = file_of(domain, disk)
        found.append(SourceDisk(get(disk, "target/@dev"), path, get(disk, "driver/@type", "raw"), []))
    return found
