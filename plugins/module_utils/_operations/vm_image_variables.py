# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The UEFI variables of a new VM that is made from a published one: a copy of those that came with the image of its first disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from .._catalog.variables import Variables
from .._files import require_folder
from .._hypervisor.firmware import firmware, secure_boot, takes_raw, template_sizes
from .._hypervisor.xml import Element, get
from .._plan import Step
from .held_variables import are_kept, kept_variables
from .vm_clone_facts import nvram_of
from .vm_disk_plan import PlannedDisk
from .vm_request import VmRequest
from .vm_variables import require_own, write_variables


def plan_variables(
    root: Element, request: VmRequest, disks: Sequence[PlannedDisk], *, version: str
) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The step that writes them, and a warning when there are some that don't suit the VM that `root` describes."""
    first = next((disk for disk in disks if disk.request.device == "disk"), None)
    if first is None or first.base is None or first.base.variables is None or _has_its_own(root):
        return (), ()
    variables, image = first.base.variables, first.request.image
    why = _misfit(root, variables)
    if why:
        return (), (
            f"disks: {image} was published with UEFI variables, and {request.name} doesn't get them, since {why}.",
        )
    path = nvram_of(root, request.uri)
    require_folder(path, option="name")
    require_own(path, vm=request.name, content=variables.content)
    if not first.base.steps and not are_kept(variables):
        kept_variables(variables)
    write = partial(_write, path, variables, vm=request.name, version=version)
    return (Step(f"write the UEFI variables of {image} to {path}", write),), ()


def _has_its_own(root: Element) -> bool:
    """Whether XML of the task says what the variables are, or wants firmware in another format than raw."""
    return root.find("os/nvram") is not None or get(root, "os/loader/@format", "raw") != "raw"


def _misfit(root: Element, variables: Variables) -> str:
    """Why the firmware of the VM can't go on with the variables; nothing when it can."""
    if firmware(root) != "uefi":
        return "it has a BIOS; give firmware: uefi for a VM like the published one"
    if secure_boot(root) != variables.secure_boot:
        wanted = str(variables.secure_boot).lower()
        return f"they belong to firmware that differs in secure boot; give secure_boot: {wanted} for a VM like the published one"
    arch = get(root, "os/type/@arch")
    if get(root, "os/loader/@format") != "raw" and not takes_raw(arch, secure=variables.secure_boot):
        return "this host's firmware keeps them as qcow2; give xml whose os has <loader format='raw'/>, if the host has raw firmware too"
    sizes = template_sizes(arch)
    if sizes and variables.size not in sizes:
        known = ", ".join(map(str, sorted(sizes)))
        return f"they have {variables.size} bytes, and those of this host's firmware have {known}"
    return ""


def _write(path: str, variables: Variables, *, vm: str, version: str) -> None:
    write_variables(path, kept_variables(variables), vm=vm, version=version)
