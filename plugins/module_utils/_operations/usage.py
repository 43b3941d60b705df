# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses an image: VMs by whole chains and snapshots, overlays in the folders that are known, running engines."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from .._errors import ImageOpsError, InUse, MissingLibrary, NotFound
from .._files import real_path
from .._formats.chain import backing_path, open_image
from .._formats.probe import inspect
from .._formats.qcow2_header import MAGIC as QCOW2
from .._formats.vmdk import SPARSE_MAGIC as VMDK
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import snapshots
from .._hypervisor.sources import source_path
from .._hypervisor.xml import Element
from .._qemu.image_locks import holders
from .operation import Tools

LIBVIRT_SIGNS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock", "/etc/libvirt/qemu")
ENGINE, DOMAIN, OVERLAY = "engine", "domain", "overlay"


@dataclass(frozen=True)
class User:
    """One that uses an image; `running` while it has a process, `top` when the image is what it writes to."""

    kind: str
    name: str
    sentence: str
    running: bool = False
    top: bool = False


class Layers:
    """What lies below an image, by our parsers; every file is read once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def below(self, path: str) -> str:
        """Real path of the backing file, an empty string for none, or for what can't be read."""
        real = real_path(path)
        if real not in self._known:
            self._known[real] = self._read(real)
        return self._known[real]

    def chain(self, path: str) -> Iterator[str]:
        """Real paths from `path` down."""
        here, seen = real_path(path), set[str]()
        while here and here not in seen:
            seen.add(here)
            yield here
            here = self.below(here)

    def _read(self, path: str) -> str:
        try:
            with open_image(path) as image:
                image.stream.seek(0)
                start = image.stream.read(16)
                # Only these formats have a backing file that engines follow; most files of a folder end here.
                if not (start.startswith(VMDK) or (start.startswith(QCOW2) and any(start[8:]))):
                    return ""
                facts = inspect(image.stream, size=image.size)
        except (ImageOpsError, OSError):
            return ""
        named = facts.backing.name if facts.backing else ""
        return real_path(backing_path(path, named)) if named else ""


def users_of(path: str, tools: Tools, *, search_paths: Collection[str] = (), gone: Collection[str] = ()) -> list[User]:
    """Everything that uses `path`, VMs first; images in `gone` will have been removed and don't count.

    Raises MissingLibrary where the host has libvirt and this interpreter can't ask it.
    """
    layers = Layers()
    found = domains_using(path, tools, layers=layers)
    if not any(user.running for user in found):
        held = holders(path)
        found += [User(ENGINE, path, f"it is {held.sentence()}", running=True)] if held else []
    folders = {os.path.dirname(real_path(path)), *map(real_path, search_paths), *_pool_folders(tools)}
    return found + [
        User(OVERLAY, overlay, f"the overlay {overlay} reads it as its backing file")
        for overlay in _overlays(real_path(path), folders, layers)
        if overlay not in gone
    ]


def require_unused(path: str, tools: Tools, *, search_paths: Collection[str] = ()) -> None:
    """Raise InUse when anything uses `path`."""
    refuse(path, users_of(path, tools, search_paths=search_paths))


def refuse(path: str, users: Iterable[User]) -> None:
    """Raise InUse when there are users: one sentence that names them all."""
    told = list(users)
    if told:
        raise InUse(
            f"{path} is in use and was left as it is: {'; '.join(user.sentence for user in told)}.",
            users=[{"kind": user.kind, "name": user.name} for user in told],
        )


def domains_using(path: str, tools: Tools, *, layers: Layers | None = None) -> list[User]:
    """The VMs in whose chains or snapshots `path` is."""
    real, known = real_path(path), layers or Layers()
    found = []
    for connection in _connections(tools):
        for domain in connection.domains():
            # Another task may remove a VM while we look; what is gone uses nothing.
            with contextlib.suppress(NotFound):
                found.append(_domain_user(real, domain, connection, known))
    return [user for user in found if user]


def keeps_snapshots(name: str, tools: Tools) -> bool:
    """Whether libvirt keeps snapshots of the domain `name`."""
    found = (connection.domain(name) for connection in _connections(tools))
    return any(snapshots(domain) for domain in found if domain is not None)


def has_libvirt() -> bool:
    """Whether VMs of libvirt may be on this host."""
    return any(os.path.exists(sign) for sign in LIBVIRT_SIGNS)


def _connections(tools: Tools) -> list[Connection]:
    if not has_libvirt():
        return []
    uris = ["qemu:///system"] if os.geteuid() == 0 or os.access(LIBVIRT_SIGNS[0], os.W_OK) else []
    try:
        return [tools.hypervisor(uri) for uri in (uris if os.geteuid() == 0 else [*uris, "qemu:///session"])]
    except MissingLibrary:
        raise MissingLibrary(
            "This host has libvirt, and without its Python library it can't be known whether a VM uses an image, so none is "
            "removed or rewritten; install python3-libvirt (Debian, Fedora) for the interpreter that runs this module."
        ) from None


def _pool_folders(tools: Tools) -> set[str]:
    return {real_path(pool.path) for connection in _connections(tools) for pool in connection.pools() if pool.path}


def _domain_user(real: str, domain: Domain, connection: Connection, layers: Layers) -> User | None:
    """How `domain` uses the file, if it does."""
    running = domain.active
    state = "running" if running else "stopped"
    for inactive in (False, True):
        root = domain.xml(inactive=inactive)
        tops = {real_path(name) for name in _tops(root, connection)}
        if any(_same(real, top) for top in tops):
            return User(DOMAIN, domain.name, f"it is a disk of the {state} domain {domain.name}", running, top=True)
        named = {*tops, *map(real_path, _sources(root))}
        if any(_same(real, layer) for name in named for layer in layers.chain(name)):
            return User(DOMAIN, domain.name, f"a disk of the {state} domain {domain.name} rests on it", running)
    for snapshot in snapshots(domain):
        named = set(_sources(snapshot.definition)) if snapshot.definition is not None else set()
        if any(_same(real, layer) for name in named for layer in layers.chain(name)):
            return User(
                DOMAIN, domain.name, f"the snapshot {snapshot.name} of the domain {domain.name} needs it", running
            )
    return None


def _tops(root: Element, connection: Connection) -> Iterator[str]:
    """The files that the disks of a domain write to; volumes by the folder of their pool."""
    pools: dict[str, str] = {}
    for source in root.iterfind("devices/disk/source"):
        if source.get("pool"):
            pools = pools or {pool.name: pool.path for pool in connection.pools()}
            yield os.path.join(pools.get(source.get("pool", ""), ""), source.get("volume", ""))
        elif source_path(source):
            yield source_path(source)


def _sources(root: Element) -> list[str]:
    """Every file that a description names."""
    return [source_path(source) for source in root.iter("source") if source_path(source)]


def _same(one: str, other: str) -> bool:
    """Whether two names mean one file; hard links and bind mounts have many names."""
    if one == other:
        return True
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _overlays(real: str, folders: Iterable[str], layers: Layers) -> list[str]:
    """Files in `folders` (not below them) that have `real` as their backing file, hidden ones included."""
    found = []
    for folder in sorted(folders):
        for name in _files(folder):
            below = layers.below(name)
            if below and name != real and _same(real, below):
                found.append(name)
    return found


def _files(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if entry.is_file())
    except OSError:
        return []
