# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk of a domain a declared disk is: by the declared file anywhere in a chain, by target, else a new one."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from .._errors import Conflict, ImageOpsError, InvalidOption
from .._files import real_path, same_path
from .._hypervisor.devices import target_name
from .._hypervisor.domain import Domain
from .._hypervisor.sources import Disk
from .vm_request_devices import DiskRequest

_EXTENSIONS = {"raw": "raw"}


class Attached:
    """The disks of a domain as its next start has them, with the layers below each."""

    def __init__(self, domain: Domain | None) -> None:
        self._name = domain.name if domain else ""
        self.disks = domain.disks(inactive=True) if domain else []
        self._live = {disk.target: disk for disk in domain.disks()} if domain and domain.active else {}
        self._layers: dict[str, tuple[str, ...]] = {}

    def at(self, target: str) -> Disk | None:
        """The disk with that target."""
        return next((disk for disk in self.disks if disk.target == target), None)

    def layers(self, disk: Disk) -> tuple[str, ...]:
        """Real paths of the disk's chain, the active one first; raises Conflict when the chain can't be followed."""
        if disk.target not in self._layers:
            live = self._live.get(disk.target)
            told = [layer.path for found in (disk, live) if found for layer in found.chain if layer.path]
            self._layers[disk.target] = tuple(dict.fromkeys([*map(real_path, told), *self._followed(disk)]))
        return self._layers[disk.target]

    def _followed(self, disk: Disk) -> list[str]:
        if not disk.path or not os.path.exists(disk.path) or disk.device != "disk":
            return []
        from .._formats.chain import inspect_chain

        try:
            return [link.real_path for link in inspect_chain(disk.path, declared=disk.format or None)]
        except ImageOpsError as error:
            raise Conflict(f"The chain of the disk {disk.target} of {self._name} can't be followed: {error}") from error

    def holding(self, path: str) -> Disk | None:
        """The disk whose chain holds `path`; active layers are compared first, they need no look at files."""
        if not path:
            return None
        for disk in self.disks:
            if disk.path and same_path(disk.path, path):
                return disk
        wanted = real_path(path)
        return next((disk for disk in self.disks if wanted in self.layers(disk)), None)


def resolve(
    requests: Sequence[DiskRequest], *, vm: str, folder: str, attached: Attached, reserved: Sequence[str] = ()
) -> list[DiskRequest]:
    """The declared disks, each with its target and path; `reserved` targets belong to other devices of ours."""
    matched = [_matched(request, attached) for request in requests]
    taken = {request.target for request in matched if request.target} | set(reserved)
    found = []
    for request in matched:
        target = request.target or _free(request.bus, taken)
        taken.add(target)
        found.append(_with_path(replace(request, target=target), vm=vm, folder=folder))
    _require_different(found)
    return found


def _matched(request: DiskRequest, attached: Attached) -> DiskRequest:
    """A declared file that the domain has already is at that disk's target."""
    disk = None if request.target else attached.holding(request.path)
    return replace(request, target=disk.target) if disk else request


def _free(bus: str, taken: set[str]) -> str:
    names: Iterator[str] = (target_name(bus, number) for number in itertools.count())
    return next(name for name in names if name not in taken)


def _with_path(request: DiskRequest, *, vm: str, folder: str) -> DiskRequest:
    if request.path or request.device == "cdrom":
        return request
    kind = request.format or "qcow2"
    name = f"{vm}-{request.target}.{_EXTENSIONS.get(kind, kind)}"
    return replace(request, path=os.path.join(folder, name), format=kind)


def _require_different(requests: Sequence[DiskRequest]) -> None:
    if len(requests) < 2:
        return
    targets = [request.target for request in requests]
    # A link is no second file.
    files = [real_path(request.path) for request in requests if request.path]
    for what, values in (("target", targets), ("file", files)):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise InvalidOption(f"disks: the {what} {twice[0]} is declared twice; each disk needs its own.")
