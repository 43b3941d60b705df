# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The VM that is cloned: what it consists of, and everything for which cloning it is refused."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import Conflict, InUse, NotFound, UnsafeImage, Unsupported
from .._files import Fingerprint, fingerprint, real_path, require_regular
from .._formats.chain import BACKING, IMAGE, inspect_chain
from .._formats.names import canonical_format
from .._formats.safety import verdict
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.library import calling
from .._hypervisor.snapshots import snapshots
from .._hypervisor.sources import source_path
from .._hypervisor.xml import Element, get
from .._qemu.image_locks import holders
from .inspection import Inspected
from .vm_clone_seed import is_seed

_PASSED_THROUGH = ("hostdev", "vhostuser", "vdpa")
# Devices that a copy can't share with the VM, or whose state isn't in a disk.
_REFUSED = {
    "hostdev": "a device of the host, which only one VM can have",
    "tpm": "a TPM, whose state can't be copied yet",
    "pstore": "an ACPI ERST store in a file of its own",
}


@dataclass(frozen=True)
class SourceDisk:
    """A disk that the clone gets a disk of its own for."""

    target: str
    image: Inspected


@dataclass(frozen=True)
class Source:
    """The VM as it is defined, its writable disks, and the path of its cloud-init seed."""

    domain: Domain
    root: Element
    disks: tuple[SourceDisk, ...]
    seed: str

    @property
    def name(self) -> str:
        return self.domain.name

    @property
    def snapshots(self) -> list[str]:
        """Names of its snapshots."""
        return [snapshot.name for snapshot in snapshots(self.domain)]


def read_source(name: str, connection: Connection) -> Source:
    """The VM to clone; raises NotFound, Conflict, InUse or Unsupported for one that can't be cloned."""
    domain = connection.domain(name)
    if domain is None:
        raise NotFound(
            f"source: there is no VM called {name} on {connection.uri}; define it first, or correct the name."
        )
    _require_stopped(domain)
    root = domain.xml(secure=True)
    _require_copyable(name, root)
    disks = [(disk, source_path(disk.find("source"))) for disk in _media(root)]
    writable = [_source_disk(name, disk) for disk, _path in disks if disk.find("readonly") is None]
    seeds = [path for disk, path in disks if disk.find("readonly") is not None and path and is_seed(path)]
    return Source(domain, root, tuple(writable), seeds[0] if seeds else "")


def _media(root: Element) -> Iterator[Element]:
    """Disks with a medium in them."""
    return (disk for disk in root.iterfind("devices/disk") if disk.find("source") is not None)


def _require_stopped(domain: Domain) -> None:
    if domain.active:
        raise Conflict(
            f"source: {domain.name} is {domain.state}, and a copy of its disks would be torn; stop it first "
            "(imageops.fleet.vm with "
            f"state: stopped). Cloning running VMs is not there yet."
        )
    with calling(f"looking at the domain {domain.name}"):
        saved = bool(domain.raw.hasManagedSaveImage(0))
    if saved:
        raise Conflict(
            f"source: {domain.name} is stopped with its memory saved (managed save), so its disks alone are torn; "
            "start it and "
            f"shut it down, or drop its memory with 'virsh managedsave-remove {domain.name}'."
        )


def _require_copyable(name: str, root: Element) -> None:
    for tag, what in _REFUSED.items():
        if root.find(f"devices/{tag}") is not None:
            raise Unsupported(f"source: {name} has {what}; remove it from the source before cloning.")
    for interface in root.iterfind("devices/interface"):
        if interface.get("type") in _PASSED_THROUGH:
            raise Unsupported(
                f"source: the interface {get(interface, 'mac/@address')} of {name} is of type {interface.get('type')}, "
                "which only "
                f"one VM can have; plug it into a network or bridge before cloning."
            )


def _source_disk(vm: str, disk: Element) -> SourceDisk:
    target, path = get(disk, "target/@dev"), source_path(disk.find("source"))
    if disk.get("type") != "file" or not path:
        raise Unsupported(
            f"source: the disk {target} of {vm} is of type {disk.get('type')}, and only disks in files can be cloned; "
            "move it to "
            f"a file, or take it out of the source."
        )
    if disk.find("shareable") is not None:
        raise Unsupported(
            f"source: the disk {target} of {vm} is shared with other VMs; take it out of the source before cloning."
        )
    if disk.find("encryption") is not None or disk.find("source/encryption") is not None:
        raise Unsupported(f"source: the disk {target} of {vm} is encrypted, and encrypted disks can't be cloned yet.")
    require_regular(path, option="source")
    _require_idle(vm, path)
    real = real_path(path)
    return SourceDisk(target, _inspected(real, get(disk, "driver/@type", "raw"), fingerprint(real)))


def _require_idle(vm: str, path: str) -> None:
    found = holders(path)
    if found is not None and found.writing:
        raise InUse(f"source: {path}, a disk of the stopped VM {vm}, is {found.sentence()}; wait for it or stop it.")


@functools.lru_cache(maxsize=64)
def _inspected(path: str, driver: str, mark: Fingerprint | None) -> Inspected:
    """The whole chain of a VM's own disk, once for all clones; `mark` tells whether it is still the same file.

    The chain is what libvirt gives this VM anyway, so its backing files count as declared; everything else is refused,
    data files too, which a copy of the image would share with it.
    """
    chain = inspect_chain(path, declared=canonical_format(driver, option="source"))
    refused = verdict(
        chain, allowed_backing=[link.real_path for link in chain if link.role in (IMAGE, BACKING)]
    ).refusals
    if refused:
        raise UnsafeImage(
            f"source: {path} is not safe to clone: " + " ".join(found.message for _where, found in refused),
            findings=[found.__dict__ for _where, found in refused],
        )
    facts = chain[0].facts
    return Inspected(path, facts.format, facts.virtual_size, tuple(link.real_path for link in chain), tuple(chain))
