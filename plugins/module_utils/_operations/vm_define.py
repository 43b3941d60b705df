# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The definition of a VM: what the next start shall be like, the files for it, and what differs from now."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .._errors import InvalidOption
from .._faults import fault_point
from .._formats.names import canonical_format
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.xml import IMAGEOPS, Element, alike, clone, get, serialise
from .._plan import KNOWN_AFTER, Step
from . import vm_plain
from .operation import Tools
from .vm_define_part import Part
from .vm_define_whole import plan_whole
from .vm_definition import Definition
from .vm_disk_plan import PlannedDisk, plan_disk
from .vm_disk_use import claim, claim_base, require_own
from .vm_disks import Attached, resolve
from .vm_hardware_check import require_hardware
from .vm_host import acceleration, default_folder
from .vm_labels import label_steps, set_labels
from .vm_platform import set_platform
from .vm_request import VmRequest
from .vm_request_devices import DiskRequest
from .vm_seed import Seed, seed_of, seed_path
from .vm_seed_detach import Detachment, is_detached
from .vm_together import claim_space

if TYPE_CHECKING:
    from .catalog_wanted import Base
    from .vm_files import NewDisk


def plan_definition(request: VmRequest, domain: Domain | None, connection: Connection, tools: Tools) -> Definition:
    """What has to be done for the definition of a VM; raises everything that speaks against it."""
    if domain is None:
        vm_plain.require_description(request)
    if request.whole:
        return plan_whole(request, domain, connection, tools)
    return _Plain(request, domain, connection, tools).plan()


class _Plain:
    """Planning from the plain description."""

    def __init__(self, request: VmRequest, domain: Domain | None, connection: Connection, tools: Tools) -> None:
        self._request = request
        self._domain = domain
        self._connection = connection
        self._tools = tools
        self._attached = Attached(domain)
        self._part = Part(request)

    def plan(self) -> Definition:
        existing = self._domain.xml() if self._domain else None
        root = self._edited(existing)
        seed, detachment = self._seed(), self._detachment(existing)
        disks = self._disks(existing if existing is not None else root, seed)
        self._require_part(existing, disks)
        vm_plain.set_plain(root, self._request)
        set_platform(root, self._request, self._connection, new=existing is None)
        vm_plain.set_disks(root, disks)
        vm_plain.set_networks(root, self._request.networks or (), self._connection)
        stale = seed is not None and not seed.is_current()
        if seed:
            vm_plain.set_seed(root, seed, _seed_target(root, seed, disks))
        if detachment:
            detachment.drop_drive(root)
        if self._request.platform.labels is not None:
            set_labels(root, self._request.platform.labels)
        root = self._merged(root)
        require_hardware(root, existing, self._request, self._connection)
        variables, untold = self._variables(root, disks) if existing is None else ((), ())
        steps = (
            *(detachment.before_defining() if detachment else ()),
            *self._file_steps(disks, seed if stale else None, variables),
            *self._define_steps(existing, root),
            *(detachment.after_defining() if detachment else ()),
            *self._grow_steps(disks),
        )
        before, after = self._facts(existing, root, disks, seed, stale=stale)
        if detachment:
            gone_before, gone_after = detachment.facts()
            before, after = {**before, **gone_before}, {**after, **gone_after}
        warnings = tuple(text for disk in disks for text in disk.warnings)
        return Definition(root, steps, before, after, (*warnings, *untold), reseeded=stale)

    def _edited(self, existing: Element | None) -> Element:
        """The XML to change: the existing one, or a new domain; with the accelerator that is asked for."""
        wanted = self._request.plain("acceleration")
        # What is left open the XML beside the description may tell.
        told = wanted if wanted in ("kvm", "tcg") else self._part.acceleration or "auto"
        if existing is None:
            return vm_plain.new_root(self._request, acceleration(self._connection, told), self._connection)
        root = clone(existing)
        if wanted:
            vm_plain.set_acceleration(root, acceleration(self._connection, told))
        return root

    def _seed(self) -> Seed | None:
        wanted = self._request.plain("cloud_init")
        if wanted is None or is_detached(wanted):
            return None
        return seed_of(self._request.name, wanted, folder=default_folder(self._connection))

    def _detachment(self, existing: Element | None) -> Detachment | None:
        if not is_detached(self._request.plain("cloud_init")):
            return None
        path = seed_path(self._request.name, default_folder(self._connection))
        return Detachment(path, existing, self._domain)

    def _disks(self, root: Element, seed: Seed | None) -> list[PlannedDisk]:
        if not self._request.disks:
            return []
        name, folder = self._request.name, self._folder()
        taken = vm_plain.seed_target(root, seed.path if seed else seed_path(name, folder))
        reserved = [taken] if taken else []
        found = resolve(self._request.disks, vm=name, folder=folder, attached=self._attached, reserved=reserved)
        for number, disk in enumerate(found):
            claim(disk, name, self._tools, reads=self._reads(disk), option=self._option(number))
        planned = [
            plan_disk(
                disk,
                vm=name,
                attached=self._attached,
                connection=self._connection,
                check=functools.partial(
                    require_own, vm=name, tools=self._tools, search_paths=self._request.search_paths
                ),
                find_base=self._base,
                keep=self._tools.bases.keep,
                capacity=self._domain.capacity if self._domain else None,
                option=self._option(number),
            )
            for number, disk in enumerate(found)
        ]
        claim_space(planned, self._tools)
        return planned

    def _reads(self, disk: DiskRequest) -> bool:
        """Whether the VM can't write to the disk; left out, that stays as it is."""
        current = self._attached.at(disk.target)
        return bool(current and current.readonly) if disk.readonly is None else disk.readonly

    def _base(self, disk: DiskRequest, *, option: str) -> Base:
        """The image of a catalog that a new disk is made from."""
        from .catalog_base import base_of

        if disk.catalog is None:
            raise InvalidOption(f"{option}: {disk.image} names no image of a catalog.")
        folder = disk.catalog.folder or default_folder(self._connection)
        base = base_of(replace(disk.catalog, folder=folder), self._tools, option=option)
        claim_base(base.image.path, self._request.name, self._tools, option=option)
        return base

    def _option(self, number: int) -> str:
        """The option that a disk comes from."""
        return f"disks[{number}]" if number < len(self._request.plain("disks") or ()) else "virtio_media"

    def _require_part(self, existing: Element | None, disks: Sequence[PlannedDisk]) -> None:
        known = {*(disk.path for disk in self._attached.disks), *(disk.request.path for disk in disks)}
        self._part.require(existing, self._connection, self._tools, known=known)

    def _merged(self, root: Element) -> Element:
        """`root` with the XML beside the description in it."""
        found = self._part.merged(root)
        if found is not root:
            from .vm_part_agreement import require_agreement

            require_agreement(self._request, root, found)
        return found

    def _folder(self) -> str:
        """The default folder; not asked for when every disk has a path."""
        wanted = self._request.disks or ()
        return default_folder(self._connection) if not all(disk.path for disk in wanted) else ""

    def _variables(self, root: Element, disks: Sequence[PlannedDisk]) -> tuple[tuple[Step, ...], tuple[str, ...]]:
        """How a new VM gets the UEFI variables of the image that it is made from."""
        if not any(disk.base and disk.base.variables for disk in disks):
            return (), ()
        from .vm_image_variables import plan_variables

        return plan_variables(root, self._request, disks, version=self._tools.version)

    def _file_steps(self, disks: Sequence[PlannedDisk], seed: Seed | None, variables: Sequence[Step]) -> list[Step]:
        """Variables come before disks: a disk that is there tells the next run that they were written."""
        version = self._tools.version
        bases = {id(disk.base): disk.base for disk in disks if disk.base}
        steps = [*(step for base in bases.values() for step in base.steps), *variables]
        steps += [Step(_making(disk), functools.partial(self._make, disk.new)) for disk in disks if disk.new]
        if seed:
            steps.append(Step(f"write the cloud-init seed {seed.path}", functools.partial(seed.write, version=version)))
        return steps

    def _make(self, new: NewDisk) -> None:
        from .vm_files import make

        make(new, self._tools.commands, version=self._tools.version)

    def _define_steps(self, existing: Element | None, root: Element) -> list[Step]:
        if existing is not None and _says_the_same(existing, root):
            return list(label_steps(root, existing, self._request.name, self._connection))
        title = "define" if existing is None else "change the definition of"
        # The schema is asked about what isn't all our own: a VM that is there, and XML of the task.
        check = existing is not None or bool(self._request.plain("xml"))
        define = functools.partial(_define, self._connection, serialise(root), self._part, check=check)
        return [Step(f"{title} {self._request.name}", define)]

    def _grow_steps(self, disks: Sequence[PlannedDisk]) -> list[Step]:
        return [
            Step(f"grow {disk.request.path} to {disk.request.size} bytes", functools.partial(self._grow, disk))
            for disk in disks
            if disk.grows
        ]

    def _grow(self, disk: PlannedDisk) -> None:
        """Grow the layer that the VM writes to: through QEMU while it runs, else in the file."""
        size = disk.request.size or 0
        domain = self._connection.domain(self._request.name)
        if domain and domain.active and disk.attached:
            domain.resize(disk.request.target, size)
            return
        from .._qemu.image import Image, QemuImg

        current = self._attached.at(disk.request.target) if disk.attached else None
        path = current.path if current else disk.request.path
        QemuImg(self._tools.commands).resize(Image(path, canonical_format(disk.driver)), size=size)

    def _facts(
        self, existing: Element | None, root: Element, disks: Sequence[PlannedDisk], seed: Seed | None, *, stale: bool
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Declared facts before and after; a diff shows what differs, and all of a new VM."""
        before = _declared(self._request, existing) if existing is not None else {}
        after = _declared(self._request, root)
        if self._request.disks is not None:
            after["disks"] = {disk.request.target: disk.facts() for disk in disks}
            before.update({"disks": _disks_before(disks)} if existing is not None else {})
        parts_before, parts_after = self._part.facts()
        if parts_after:
            after["xml"] = parts_after
            before.update({"xml": parts_before} if existing is not None else {})
        if seed:
            # Not its digest: by that one could try out what a password is.
            after["cloud_init"] = {"path": seed.path, "content": "(as declared)"}
            known = {"path": seed.path, "content": "(another)"} if stale else after["cloud_init"]
            before.update({"cloud_init": known} if existing is not None and os.path.exists(seed.path) else {})
        return before, after


def _making(disk: PlannedDisk) -> str:
    new = disk.new
    if new is None or new.image is None:
        return f"create the disk {disk.request.path}"
    how = "an overlay on" if new.linked else "a copy of"
    return f"make the disk {new.path} as {how} {new.image.path}"


def _define(connection: Connection, text: str, part: Part, *, check: bool) -> None:
    fault_point("vm:before-define")
    domain = connection.define(text, check=check)
    fault_point("vm:defined")
    part.note(domain)


def _seed_target(root: Element, seed: Seed, disks: Sequence[PlannedDisk]) -> str:
    """Where the seed is, or the first free target."""
    known = vm_plain.seed_target(root, seed.path)
    if known:
        return known
    taken = {get(disk, "target/@dev") for disk in root.findall("devices/disk")}
    return next(f"sd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz" if f"sd{letter}" not in taken)


def _says_the_same(one: Element, other: Element) -> bool:
    """Whether two descriptions say the same to the VM: without our notes."""
    ours = f"{{{IMAGEOPS}}}vm"
    notes, others = ([part for part in root.findall("metadata/*") if part.tag != ours] for root in (one, other))
    same_notes = len(notes) == len(others) and all(alike(*pair) for pair in zip(notes, others))
    return same_notes and alike(one, other, without="metadata")


def _declared(request: VmRequest, root: Element) -> dict[str, Any]:
    """The facts of `root` that the task declares, as a diff shows them."""
    found = vm_plain.declared_facts(root, request)
    for network in found.get("networks", []):
        network.setdefault("mac", KNOWN_AFTER)
    return found


def _disks_before(disks: Sequence[PlannedDisk]) -> dict[str, Any]:
    """The declared disks as they are now; what isn't attached isn't there."""
    found = {}
    for disk in disks:
        if disk.attached:
            found[disk.request.target] = disk.facts()
            if disk.grows:
                found[disk.request.target]["size"] = disk.size_now
    return found
