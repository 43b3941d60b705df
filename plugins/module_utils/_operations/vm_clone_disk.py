# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One disk of the VM that is cloned, looked at in the way that its state allows, and why it can't be cloned."""

from __future__ import annotations

import functools
from dataclasses import dataclass

from .._errors import InUse, UnsafeImage, Unsupported
from .._files import Fingerprint, fingerprint, real_path, require_regular
from .._formats.chain import BACKING, IMAGE, inspect_chain
from .._formats.names import canonical_format
from .._formats.safety import verdict
from .._hypervisor.domain import Domain
from .._hypervisor.sources import disk_of, source_path
from .._hypervisor.xml import Element, get
from .._qemu.image_locks import holders
from .inspection import Inspected


@dataclass(frozen=True)
class SourceDisk:
    """A disk that the clone gets a disk of its own for.

    It is `pulled` when its VM runs; `snapshot` names the internal snapshot to be copied; a `frozen` one is a layer that nobody
    writes to, and that others may rest on as it is.
    """

    target: str
    image: Inspected
    pulled: bool = False
    snapshot: str = ""
    frozen: bool = False


def stopped_disk(vm: str, disk: Element) -> SourceDisk:
    """A disk of a VM that doesn't run: its whole chain is inspected."""
    target, path = get(disk, "target/@dev"), require_file(vm, disk)
    _require_idle(vm, path)
    return SourceDisk(target, inspected(path, get(disk, "driver/@type", "raw")))


def running_disk(domain: Domain, disk: Element) -> SourceDisk:
    """A disk of a running VM: only what libvirt tells, since QEMU writes to its tables."""
    target, path = get(disk, "target/@dev"), require_file(domain.name, disk)
    format = "raw" if get(disk, "driver/@type", "raw") == "raw" else "qcow2"
    files = tuple(real_path(layer.path) for layer in disk_of(disk).chain if layer.path)
    return SourceDisk(target, Inspected(real_path(path), format, domain.capacity(target), files), pulled=True)


def require_file(vm: str, disk: Element) -> str:
    """The path of a disk in a file; raises Unsupported for any other."""
    target, path = get(disk, "target/@dev"), source_path(disk.find("source"))
    if disk.get("type") != "file" or not path:
        raise Unsupported(
            f"source: the disk {target} of {vm} is of type {disk.get('type')}, and only disks in files can be cloned; "
            "move it to a file, or leave it out (disks: mode: skip)."
        )
    if disk.find("shareable") is not None:
        raise Unsupported(
            f"source: the disk {target} of {vm} is shared with other VMs; share it with the clone too (disks: mode: share), or leave "
            "it out (mode: skip)."
        )
    if disk.find("encryption") is not None or disk.find("source/encryption") is not None:
        raise Unsupported(
            f"source: the disk {target} of {vm} is encrypted, and encrypted disks can't be cloned yet; leave it out (disks: mode: skip)."
        )
    require_regular(path, option="source")
    return path


def _require_idle(vm: str, path: str) -> None:
    found = holders(path)
    if found is not None and found.writing:
        raise InUse(f"source: {path}, a disk of the stopped VM {vm}, is {found.sentence()}; wait for it or stop it.")


def inspected(path: str, driver: str) -> Inspected:
    """The whole chain of a VM's own disk, which nobody writes to now; raises UnsafeImage."""
    real = real_path(path)
    return _inspected(real, driver, fingerprint(real))


@functools.lru_cache(maxsize=64)
def _inspected(path: str, driver: str, mark: Fingerprint | None) -> Inspected:
    """Once for all clones; `mark` tells whether it is still the same file.

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
