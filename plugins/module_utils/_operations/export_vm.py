# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stopped VM as the source of an export: its disks, and what machine it is."""

from __future__ import annotations

from typing import Any

from .._errors import Conflict, NotFound
from .._hypervisor.connection import require_local
from .._hypervisor.portable import left_out, machine_of_domain
from .._portable.machine import Machine
from .export_request import ExportDisk, export_disk
from .operation import Tools
from .still_vm import stopped_disks


def source_of_vm(params: dict[str, Any], tools: Tools) -> tuple[list[ExportDisk], Machine, list[str]]:
    """Disks, machine, and sentences on what of the VM is no part of them; raises NotFound, Conflict, InUse, Unsupported or UnsafeImage."""
    require_local(params["uri"])
    domain = tools.hypervisor(params["uri"]).domain(params["vm"])
    if domain is None:
        raise NotFound(f"vm: there is no VM called {params['vm']} on {params['uri']}; correct the name.")
    if domain.active:
        raise Conflict(
            f"vm: {domain.name} runs, so its disks are torn; shut it down, or publish it with imageops.fleet.image_publish, which takes a "
            f"running one, and export what is pulled from there."
        )
    disks = [export_disk(target, image) for target, image in stopped_disks(domain)]
    root = domain.xml()
    return disks, machine_of_domain(root, [disk.name for disk in disks]), list(left_out(root))
