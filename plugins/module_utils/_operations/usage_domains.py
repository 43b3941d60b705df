# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs use which files: the descriptions of all domains, read once for many files, and read again when they changed."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from .._errors import MissingLibrary, NotFound
from .._files import real_path
from .._hypervisor.connection import Connection, Pool
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import snapshots
from .._hypervisor.sources import source_path
from .._hypervisor.xml import Element
from .image_layers import Glance, Layers
from .operation import Tools

# The sockets of libvirtd (or of virtproxyd, which answers for it) and of virtqemud, and where VMs are defined.
SOCKETS = ("/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock")
LIBVIRT_SIGNS = (*SOCKETS, "/etc/libvirt/qemu")
DOMAIN = "domain"
# Seconds for which the description of a domain that neither came, went, started nor stopped is taken as known; where there
# are many, three times as long as reading them all took.
KNOWN_SECONDS = 1.0
_TIMES = 3


@dataclass(frozen=True)
class User:
    """One that uses an image; `running` while it has a process, `top` when the image is what it writes to."""

    kind: str
    name: str
    sentence: str
    running: bool = False
    top: bool = False


@dataclass(frozen=True)
class _Description:
    """The files of one domain: what it writes to and all that it names, now and at the next start, and by snapshot."""

    name: str
    running: bool
    tops: tuple[str, ...]
    named: tuple[str, ...]
    kept: tuple[tuple[str, tuple[str, ...]], ...]


class World:
    """What one task knows of domains and images."""

    def __init__(self) -> None:
        self.layers = Layers()
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._known_for = KNOWN_SECONDS
        self._seen: tuple[tuple[str, str, int], ...] = ()
        self._descriptions: tuple[_Description, ...] = ()

    def look_anew(self) -> None:
        """Let no description be known any more; of images only those are read again that were written since."""
        with self._lock:
            self._seen, self._read_at = (), float("-inf")

    def domains_using(self, path: str, tools: Tools) -> list[User]:
        """The VMs in whose chains or snapshots `path` is."""
        real, files = real_path(path), self.layers.glance()
        found = (_user(real, description, files) for description in self._current(tools))
        return [user for user in found if user]

    def named_files(self, tools: Tools) -> set[str]:
        """Every file that a VM names, now, at the next start or by a snapshot."""
        described = self._current(tools)
        return {
            name
            for each in described
            for named in (each.named, *(kept for _snapshot, kept in each.kept))
            for name in named
        }

    def _current(self, tools: Tools) -> tuple[_Description, ...]:
        with self._lock:
            listed = [(connection, domain) for connection in _connections(tools) for domain in connection.domains()]
            seen = tuple((domain.name, domain.uuid, domain.id) for _connection, domain in listed)
            now = tools.clock.now()
            if seen != self._seen or not 0 <= now - self._read_at < self._known_for:
                self._descriptions = tuple(_describe(listed))
                self._seen, self._read_at = seen, tools.clock.now()
                self._known_for = max(KNOWN_SECONDS, _TIMES * (self._read_at - now))
            return self._descriptions


def _user(real: str, domain: _Description, files: Glance) -> User | None:
    """How the domain uses the file, if it does."""
    state = "running" if domain.running else "stopped"
    if any(files.same(real, top) for top in domain.tops):
        sentence = f"it is a disk of the {state} domain {domain.name}"
        return User(DOMAIN, domain.name, sentence, domain.running, top=True)
    if _rests(real, domain.named, files):
        return User(DOMAIN, domain.name, f"a disk of the {state} domain {domain.name} rests on it", domain.running)
    for snapshot, named in domain.kept:
        if _rests(real, named, files):
            sentence = f"the snapshot {snapshot} of the domain {domain.name} needs it"
            return User(DOMAIN, domain.name, sentence, domain.running)
    return None


def _rests(real: str, named: tuple[str, ...], files: Glance) -> bool:
    return any(files.same(real, layer) for name in named for layer in files.chain(name))


_WORLDS: WeakKeyDictionary[Tools, World] = WeakKeyDictionary()
_MAKING = threading.Lock()


def world_of(tools: Tools) -> World:
    """The world of a task: one as long as its tools live."""
    with _MAKING:
        return _WORLDS.setdefault(tools, World())


def pool_folders(tools: Tools) -> set[str]:
    """The folders of the storage pools."""
    return {real_path(pool.path) for pool in storage_pools(tools)}


def storage_pools(tools: Tools) -> list[Pool]:
    """The storage pools that have folders, also those that aren't started."""
    return [pool for connection in _connections(tools) for pool in connection.pools() if pool.path]


def _describe(listed: list[tuple[Connection, Domain]]) -> Iterator[_Description]:
    for connection, domain in listed:
        # Another task may remove a VM while we look; what is gone uses nothing.
        with contextlib.suppress(NotFound):
            yield _description(connection, domain)


def _description(connection: Connection, domain: Domain) -> _Description:
    running = domain.active
    roots = [domain.xml(inactive=inactive) for inactive in ((False, True) if running else (True,))]
    tops = {real_path(name) for root in roots for name in _tops(root, connection)}
    named = {real_path(name) for root in roots for name in _sources(root)}
    kept = tuple(
        (snapshot.name, tuple(sorted(set(map(real_path, _sources(snapshot.definition))))))
        for snapshot in snapshots(domain)
        if snapshot.definition is not None
    )
    return _Description(domain.name, running, tuple(sorted(tops)), tuple(sorted(tops | named)), kept)


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
    allowed = os.geteuid() == 0 or any(os.access(path, os.W_OK) for path in SOCKETS)
    uris = ["qemu:///system"] if allowed else []
    try:
        return [tools.hypervisor(uri) for uri in (uris if os.geteuid() == 0 else [*uris, "qemu:///session"])]
    except MissingLibrary:
        from .._packages import package

        raise MissingLibrary(
            "This host has libvirt, and without its Python library it can't be known whether a VM uses an image, so none is "
            f"removed or rewritten; install {package('libvirt')} for the interpreter that runs this module."
        ) from None


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
