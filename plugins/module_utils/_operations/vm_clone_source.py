# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM that is cloned: what it consists of, and everything for which cloning it is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .._errors import Conflict, NotFound, Unsupported
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.library import calling
from .._hypervisor.snapshots import snapshots
from .._hypervisor.sources import source_path
from .._hypervisor.xml import Element, get
from .operation import Tools
from .pull_domain import require_readable
from .vm_clone_choice import COPY, LINK, SKIP, Choice, read_choice
from .vm_clone_disk import SourceDisk, running_disk, stopped_disk
from .vm_clone_point import disks_of_snapshot
from .vm_clone_seed import is_seed

__all__ = ["Source", "SourceDisk", "read_source"]

_PASSED_THROUGH = ("hostdev", "vhostuser", "vdpa")
# Devices that a copy can't share with the VM, or whose state isn't in a disk.
_REFUSED = {
    "hostdev": "a device of the host, which only one VM can have",
    "pstore": "an ACPI ERST store in a file of its own",
}


@dataclass(frozen=True)
class Source:
    """The VM as it is defined, the disks that the clone gets disks of its own for, and its cloud-init seed's path.

    `choice` says what becomes of each disk by its target.
    """

    domain: Domain
    root: Element
    disks: tuple[SourceDisk, ...]
    seed: str
    choice: dict[str, str]

    @property
    def name(self) -> str:
        return self.domain.name

    @property
    def snapshots(self) -> list[str]:
        """Names of its snapshots."""
        return [snapshot.name for snapshot in snapshots(self.domain)]

    @property
    def skipped(self) -> list[str]:
        """Targets of the disks that the clone doesn't get."""
        return [target for target, what in self.choice.items() if what == SKIP]


def read_source(params: dict[str, Any], connection: Connection, tools: Tools) -> Source:
    """The VM to clone; raises NotFound, Conflict, InUse or Unsupported for one that can't be cloned."""
    name = params["source"]
    domain = connection.domain(name)
    if domain is None:
        raise NotFound(
            f"source: there is no VM called {name} on {connection.uri}; define it first, or correct the name."
        )
    root, choice = domain.xml(secure=True), read_choice(params)
    _require_copyable(name, root, fresh_tpm=params["tpm"] == "fresh")
    media = {get(disk, "target/@dev"): disk for disk in _media(root)}
    choice.require_known(media, vm=name)
    chosen = {target: choice.of(disk) for target, disk in media.items()}
    wanted = {target: media[target] for target, what in chosen.items() if what in (COPY, LINK)}
    disks = _disks(params, domain, wanted, choice, tools)
    seeds = [
        path
        for target, disk in media.items()
        if chosen[target] != SKIP and disk.find("readonly") is not None
        for path in [source_path(disk.find("source"))]
        if path and is_seed(path)
    ]
    return Source(domain, root, tuple(disks), seeds[0] if seeds else "", chosen)


def _disks(
    params: dict[str, Any], domain: Domain, wanted: dict[str, Element], choice: Choice, tools: Tools
) -> list[SourceDisk]:
    if params["snapshot"]:
        return disks_of_snapshot(domain, params["snapshot"], wanted, choice, tools)
    if not domain.active:
        _require_no_memory(domain)
        return [stopped_disk(domain.name, disk) for disk in wanted.values()]
    linked = [target for target, disk in wanted.items() if choice.of(disk) == LINK]
    if linked:
        raise Conflict(
            f"mode: {domain.name} is {domain.state} and writes to its disk {linked[0]}, so nothing can rest on it; give mode: full, "
            "or stop it first, or give the name of an external snapshot (snapshot:), whose disks nobody writes to."
        )
    return _running_disks(domain, wanted)


def _running_disks(domain: Domain, wanted: dict[str, Element]) -> list[SourceDisk]:
    live = {get(disk, "target/@dev"): disk for disk in _media(domain.xml(inactive=False))}
    gone = [target for target in wanted if target not in live]
    if gone:
        raise Conflict(
            f"source: {domain.name} gets its disk {gone[0]} only at its next start, and it is running; stop it first, or leave the "
            "disk out (disks: mode: skip)."
        )
    if wanted:
        require_readable(domain)
    return [running_disk(domain, live[target]) for target in wanted]


def _media(root: Element) -> Iterator[Element]:
    """Disks with a medium in them."""
    return (disk for disk in root.iterfind("devices/disk") if disk.find("source") is not None)


def _require_no_memory(domain: Domain) -> None:
    with calling(f"looking at the domain {domain.name}"):
        saved = bool(domain.raw.hasManagedSaveImage(0))
    if saved:
        raise Conflict(
            f"source: {domain.name} is stopped with its memory saved (managed save), so its disks alone are torn; "
            f"start it and shut it down, or drop its memory with 'virsh managedsave-remove {domain.name}'."
        )


def _require_copyable(name: str, root: Element, *, fresh_tpm: bool) -> None:
    for tag, what in _REFUSED.items():
        if root.find(f"devices/{tag}") is not None:
            raise Unsupported(f"source: {name} has {what}; remove it from the source before cloning.")
    for tpm in root.iterfind("devices/tpm"):
        if get(tpm, "backend/@type") != "emulator":
            raise Unsupported(
                f"source: {name} has a TPM of the host, which only one VM can have; remove it from the source."
            )
        if not fresh_tpm:
            raise Unsupported(
                f"source: {name} has a TPM, and a copy of its secrets would make two machines one; give tpm: fresh, and the clone "
                "gets an empty one (what was sealed by the source's can't be opened there)."
            )
    for interface in root.iterfind("devices/interface"):
        if interface.get("type") in _PASSED_THROUGH:
            raise Unsupported(
                f"source: the interface {get(interface, 'mac/@address')} of {name} is of type {interface.get('type')}, "
                "which only one VM can have; plug it into a network or bridge before cloning."
            )
