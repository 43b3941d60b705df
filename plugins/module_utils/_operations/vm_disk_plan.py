# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to be done for one declared disk: nothing, attach a file, make one, let it grow."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Callable

from .._errors import Conflict, InUse, NotFound
from .._files import Fingerprint, fingerprint, real_path, require_folder, require_regular, require_space, same_path
from .._formats.names import qemu_driver
from .._hypervisor.connection import Connection
from .._hypervisor.sources import Disk
from .._records import Record, read_record, untouched
from .vm_disks import Attached
from .vm_host import writer
from .vm_request_devices import DiskRequest

if TYPE_CHECKING:
    from .._catalog.reference import Reference
    from .catalog_wanted import Base
    from .inspection import Inspected
    from .vm_files import NewDisk

# A qcow2 header with its tables, and some room for the file system's own.
_OVERLAY_SPACE = 1 << 20


@dataclass(frozen=True)
class PlannedDisk:
    """A declared disk: `attached` when the domain has it, `new` the file to make, `driver` QEMU's name of the format.

    `base` is the image of a catalog that the new file is made from.
    """

    request: DiskRequest
    attached: bool
    driver: str
    new: NewDisk | None = None
    warnings: tuple[str, ...] = ()
    size_now: int | None = None
    space: int = 0
    base: Base | None = None

    @property
    def grows(self) -> bool:
        """Whether the file that is there has to become larger."""
        return self.new is None and None not in (self.size_now, self.request.size) and self.size_now < self.request.size  # type: ignore[operator]

    def facts(self) -> dict[str, Any]:
        """What a diff shows of it."""
        request = self.request
        shown: dict[str, Any] = {"path": request.path, "device": request.device, "bus": request.bus}
        if request.image:
            shown.update(image=request.image, copy=request.copy)
        if request.size is not None:
            shown["size"] = request.size
        return shown


@functools.lru_cache(maxsize=64)
def _inspected(path: str, declared: str | None, found: Fingerprint | None, option: str) -> Inspected:
    """The inspection of an image, once for all VMs made from it; `found` tells whether it is still the same file."""
    from .inspection import inspect

    return inspect(path, declared=declared, option=option)


def plan_disk(
    request: DiskRequest,
    *,
    vm: str,
    attached: Attached,
    connection: Connection,
    capacity: Any,
    check: Callable[..., None],
    find_base: Callable[..., Base],
    keep: Callable[[str], object],
    option: str,
) -> PlannedDisk:
    """The plan for a resolved disk; raises what speaks against it.

    `capacity(target)` tells the size of an attached one, `check(path, option=...)` raises when others use a file, `keep(path)` lets
    nobody replace one that a disk is made from, and `find_base(request, option=...)` finds an image of a catalog.
    """
    if request.device == "cdrom":
        return _cdrom(request, attached, option=option)
    current = attached.at(request.target)
    is_there = os.path.exists(request.path)
    if current and _holds(current, attached, request.path):
        if is_there or not (request.image or request.size is not None):
            if current.readonly and request.readonly is False:
                check(request.path, option=option)
            return _attached(request, current, vm=vm, capacity=capacity, option=option)
    elif current and (request.image or request.size is not None):
        raise Conflict(
            f"{option}: the disk {request.target} of {vm} is {current.path or 'something else'}, which was not made from "
            f"{request.path}; give its path, or another target."
        )
    make = functools.partial(_missing, vm=vm, connection=connection, find_base=find_base, keep=keep, option=option)
    if not is_there:
        return make(request)
    found = _existing(request, vm=vm, connection=connection, make=make, option=option)
    if not request.readonly:
        check(request.path, option=option)
    return found


def _holds(current: Disk, attached: Attached, path: str) -> bool:
    """Whether the file is in the disk's chain, which is only followed when the active layer is another file."""
    return bool(current.path and same_path(current.path, path)) or real_path(path) in attached.layers(current)


def _cdrom(request: DiskRequest, attached: Attached, *, option: str) -> PlannedDisk:
    current = attached.at(request.target)
    same = current is not None and current.device == "cdrom" and current.path == request.path
    if request.path and not same:
        require_regular(request.path, option=f"{option}.path")
    return PlannedDisk(request, same, "raw")


def _attached(request: DiskRequest, current: Disk, *, vm: str, capacity: Any, option: str) -> PlannedDisk:
    """A disk that the domain has; its content is the guest's own, so it is never made again."""
    warnings = _origin_warnings(request, read_record(request.path) if request.image else None, vm=vm, option=option)
    _require_same_kind(request, current, vm=vm, option=option)
    size = capacity(request.target) if request.size is not None else None
    _refuse_shrinking(request, size, option=option)
    return PlannedDisk(request, True, current.format, warnings=warnings, size_now=size)


def _require_same_kind(request: DiskRequest, current: Disk, *, vm: str, option: str) -> None:
    """Raise Conflict when an attached disk was declared with another bus or format."""
    if request.bus_told and request.bus != current.bus:
        raise Conflict(
            f"{option}.bus: the disk {current.target} of {vm} is on the bus {current.bus}, and vm moves no disk to another bus; "
            f"leave bus out, or declare {current.bus}."
        )
    same_file = same_path(current.path, request.path)
    if request.format and same_file and current.format and qemu_driver(request.format) != current.format:
        raise Conflict(
            f"{option}.format: {request.path} is {current.format} and not {request.format}; declare what it is."
        )


def _origin_warnings(request: DiskRequest, record: Record | None, *, vm: str, option: str) -> tuple[str, ...]:
    """What the record of a disk says against the image that is declared; raises Conflict for another image."""
    if record is None or not record.source:
        return ()
    if request.catalog:
        _require_origin(request, record.source, request.catalog.reference, option=option)
        return ()
    image = real_path(request.image)
    if record.source.get("path") != image:
        raise Conflict(
            f"{option}.image: {request.path} was made from {record.source.get('path')}, and a VM's disk is never made again; "
            f"declare that image, or remove the VM with its disks first."
        )
    found = fingerprint(image)
    if found and record.source.get("fingerprint") != found.as_dict():
        return (
            f"{option}.image: {image} was changed after the disk {request.target} of {vm} was made from it; the disk stays.",
        )
    return ()


def _require_origin(request: DiskRequest, source: dict[str, Any], wanted: Reference, *, option: str) -> None:
    """Raise Conflict unless the disk was made from what is declared; a tag may name another image since."""
    if source.get("reference") == str(wanted) or wanted.digest and source.get("manifest") == wanted.digest:
        return
    was = source.get("reference") or source.get("path")
    raise Conflict(
        f"{option}.image: {request.path} was made from {was} ({source.get('manifest') or 'no image of a catalog'}), and a VM's disk is never "
        f"made again; declare that, or remove the VM with its disks first."
    )


def _refuse_shrinking(request: DiskRequest, size: int | None, *, option: str) -> None:
    if size is not None and request.size is not None and request.size < size:
        raise Conflict(
            f"{option}.size: {request.path} has {size} bytes, and vm never shrinks a disk; declare at least that size."
        )


def _existing(
    request: DiskRequest, *, vm: str, connection: Connection, make: Callable[[DiskRequest], PlannedDisk], option: str
) -> PlannedDisk:
    """A file that is there and that the domain doesn't have: ours of an interrupted run, or the user's own."""
    from .inspection import inspect

    path = real_path(request.path)
    user = writer(connection, path)
    if user not in ("", vm):
        raise InUse(f"{option}: {request.path} is the disk of the VM {user}; give another path.")
    record = read_record(path)
    if request.image:
        remade = _again(request, record, make=make, option=option)
        if remade:
            return remade
    # The records of overlays name their backing files; what else is below a file must not be there.
    found = inspect(path, declared=request.format or (record.format if record else None), option=option)
    _refuse_shrinking(request, found.virtual_size if request.size is not None else None, option=option)
    return PlannedDisk(request, False, qemu_driver(found.format), size_now=found.virtual_size)


def _again(
    request: DiskRequest, record: Record | None, *, make: Callable[[DiskRequest], PlannedDisk], option: str
) -> PlannedDisk | None:
    """None when the file is the wanted copy of the image; a plan to make it again when it is an unused old one."""
    if record is None or not record.source:
        raise Conflict(
            f"{option}: {request.path} exists and was not made from {request.image} (it has no record of that); remove it, give "
            f"another path, or leave out image to attach it as it is."
        )
    planned = make(request)
    wanted = planned.new.record("") if planned.new else record
    if (record.source, record.operation) == (
        wanted.source,
        wanted.operation,
    ) and record.virtual_size <= wanted.virtual_size:
        return None
    if not untouched(request.path, record):
        raise Conflict(
            f"{option}: {request.path} was made from {record.source.get('path')} as it was before, and written to since; remove "
            f"it, or give another path."
        )
    return planned


def _missing(
    request: DiskRequest,
    *,
    vm: str,
    connection: Connection,
    find_base: Callable[..., Base],
    keep: Callable[[str], object],
    option: str,
) -> PlannedDisk:
    """A file to make."""
    if not request.image and request.size is None:
        raise NotFound(f"{option}.path: {request.path} does not exist; give image or size to have it made.")
    from .vm_files import NewDisk

    request = request if request.format else replace(request, format="qcow2")
    require_folder(request.path, option=f"{option}.path")
    if request.image and not request.catalog:
        keep(request.image)
    base = find_base(request, option=f"{option}.image") if request.catalog else None
    image = base.image if base else _image(request, connection, option=f"{option}.image") if request.image else None
    size = _size(request, image, option=option)
    space = _space(image, linked=request.copy == "linked")
    require_space(request.path, space, what=f"{option}: {request.path}")
    origin = base.origin if base else {}
    new = NewDisk(vm, request.path, request.format, size, image, request.copy == "linked", origin)
    return PlannedDisk(request, False, request.format, new=new, space=space, base=base)


def _size(request: DiskRequest, image: Inspected | None, *, option: str) -> int:
    least = image.virtual_size if image else 0
    size = request.size if request.size is not None else least
    if size < least:
        raise Conflict(
            f"{option}.size: the image {request.image} has {least} bytes, and a copy can't be smaller; give that or more."
        )
    return size


def _space(image: Inspected | None, *, linked: bool) -> int:
    if image is None or linked:
        return _OVERLAY_SPACE
    return sum(os.stat(path).st_blocks * 512 for path in image.files) + _OVERLAY_SPACE


def _image(request: DiskRequest, connection: Connection, *, option: str) -> Inspected:
    """The image to make a disk from: safe, and not written to by somebody."""
    from .._qemu.image_locks import holders

    path = real_path(request.image)
    image = _inspected(path, request.image_format, fingerprint(path), option)
    linked = request.copy == "linked"
    user = writer(connection, path)
    if user and linked:
        raise InUse(
            f"{option}: {path} is the disk of the VM {user}, and an overlay breaks when its base is written to; use copy: full "
            f"while {user} is stopped, or publish the disk as an image first."
        )
    found = holders(path)
    if found is not None and found.writing:
        raise InUse(f"{option}: {path} is {found.sentence()}; a copy of it would be torn, so stop that first.")
    return image
