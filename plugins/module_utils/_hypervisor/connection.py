# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to libvirt: domains, pools, networks, what the host can do.

libvirt's connections may be used by many threads at once, and its Python binding lets go of the interpreter lock while it
waits for an answer; so one connection serves all items of a task.
"""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from .._errors import EngineError, InvalidOption, NotFound, Unsupported
from .domain import Domain, Seen
from .ip import usable
from .library import calling, library, tell_each
from .xml import Element, get, parse

DEFAULT_URI = "qemu:///system"
# Requests of one client that libvirt's daemon works on side by side (max_client_requests of libvirtd.conf); more only queue.
_AT_ONCE = 5


@dataclass(frozen=True)
class Pool:
    """A storage pool; `path` is its folder, or an empty string for pools that have none, `kind` its type, such as dir or netfs."""

    name: str
    path: str
    active: bool
    kind: str


@dataclass(frozen=True)
class Network:
    """A virtual network; `bridge` is the host's interface, when it has one."""

    name: str
    bridge: str
    active: bool


def require_local(uri: str) -> None:
    """Raise Unsupported for a URI with a host part: files are touched, and those are on the other host."""
    host = urlsplit(uri).netloc
    if host:
        raise Unsupported(
            f"uri: {uri} names the remote host {host}, and this module works on files of the host that it runs on; "
            f"run the task on {host} (as an inventory host) with uri {DEFAULT_URI}."
        )


class Connection:
    """Everything asked from one libvirt daemon; `raw` is libvirt's own object (call it inside `calling`)."""

    def __init__(self, raw: Any, uri: str) -> None:
        self.raw = raw
        self.uri = uri
        self._seen: dict[str, Seen] = {}

    @classmethod
    def open(cls, uri: str) -> Connection:
        """Connect to `uri`; raises MissingLibrary, InvalidOption for what isn't a URI, EngineError."""
        if not urlsplit(uri).scheme:
            raise InvalidOption(f"uri: '{uri}' is not a libvirt URI; give one such as {DEFAULT_URI}.")
        found = library()
        try:
            with calling(f"the connection to {uri}"):
                return cls(found.open(uri), uri)
        except EngineError as error:
            hint = "check that libvirtd (or virtqemud) runs and that this user may use it (become: true)"
            raise EngineError(f"{str(error).rstrip('.')}; {hint}.", **error.details) from None

    def close(self) -> None:
        """End the connection."""
        with calling("closing the connection"):
            self.raw.close()

    @property
    def version(self) -> tuple[int, int, int]:
        """The daemon's version, such as (9, 0, 0)."""
        with calling("telling its version"):
            number = self.raw.getLibVersion()
        return number // 1000000, number // 1000 % 1000, number % 1000

    @property
    def engine_version(self) -> tuple[int, int, int]:
        """The version of QEMU as libvirt knows it, such as (7, 2, 22)."""
        with calling("telling the hypervisor's version"):
            number = self.raw.getVersion()
        return number // 1000000, number // 1000 % 1000, number % 1000

    def domain(self, name: str) -> Domain | None:
        """The domain called `name`, None when there is none."""
        try:
            with calling(f"looking for the domain {name}"):
                return Domain(self.raw.lookupByName(name))
        except NotFound:
            return None

    def seen(self, name: str) -> Seen | None:
        """The domain called `name` as it is now, for a plan; None when there is none.

        What `look_at` found of it is told once, then it is asked for alone.
        """
        found = self._seen.pop(name, None)
        if found:
            return found
        domain = self.domain(name)
        return Seen(domain) if domain else None

    def look_at(self, names: Collection[str]) -> None:
        """Look at many domains at once, for the plans that will ask for them; not with an engine that tells of one at a time only.

        Raises EngineError.
        """
        found = library()
        try:
            with calling("looking at the domains"):
                told = self.raw.getAllDomainStats(found.VIR_DOMAIN_STATS_STATE)
                first = {raw.name() for raw in self.raw.listAllDomains(found.VIR_CONNECT_LIST_DOMAINS_AUTOSTART)}
        except Unsupported:
            return
        domains = [(Domain(raw), facts.get("state.state")) for raw, facts in told]
        seen = [Seen(one, state=state, autostart=one.name in first) for one, state in domains if one.name in names]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            asked = [(one, pool.submit(one.ask)) for one in seen]
        # Of what went meanwhile its plan will be told.
        self._seen = {one.name: one for one, asking in asked if not asking.exception()}

    def domains(self) -> list[Domain]:
        """All domains, sorted by name."""
        with calling("listing the domains"):
            found = [Domain(raw) for raw in self.raw.listAllDomains(0)]
        return sorted(found, key=lambda domain: domain.name)

    def define(self, xml_text: str, *, check: bool = True) -> Domain:
        """Define or re-define the domain that `xml_text` describes; libvirt checks it against its schema first.

        Without `check` it only reads it, for text that is all our own: the schema costs five times the rest.
        """
        flags = library().VIR_DOMAIN_DEFINE_VALIDATE if check else 0
        with calling(f"defining the domain {get(parse(xml_text), 'name')}"):
            return Domain(self.raw.defineXMLFlags(xml_text, flags))

    def pools(self) -> list[Pool]:
        """All storage pools."""
        doing = "listing the storage pools"
        with calling(doing):
            found = self.raw.listAllStoragePools(0)
        return tell_each(found, _pool, doing)

    def networks(self) -> list[Network]:
        """All virtual networks."""
        return [Network(name, get(root, "bridge/@name"), active) for name, root, active in self.described_networks()]

    def described_networks(self) -> list[tuple[str, Element, bool]]:
        """Name, description and whether it is active of all virtual networks."""
        doing = "listing the networks"
        with calling(doing):
            found = self.raw.listAllNetworks(0)
        return tell_each(found, lambda raw: (raw.name(), parse(raw.XMLDesc(0)), bool(raw.isActive())), doing)

    def leases(self) -> dict[str, list[str]]:
        """Addresses by MAC that the DHCP servers of the active networks gave away."""
        doing = "listing the leases"
        with calling(doing):
            networks = self.raw.listAllNetworks(library().VIR_CONNECT_LIST_NETWORKS_ACTIVE)
        found: dict[str, list[str]] = {}
        for lease in chain.from_iterable(tell_each(networks, lambda raw: raw.DHCPLeases(), doing)):
            address = usable(lease["ipaddr"])
            if address:
                found.setdefault(str(lease["mac"]).lower(), []).append(address)
        return found

    def capabilities(self) -> Element:
        """What host and hypervisor can do."""
        with calling("telling its capabilities"):
            return parse(self.raw.getCapabilities())

    def domain_capabilities(self, *, kind: str, arch: str = "", machine: str = "") -> Element:
        """What a domain of type `kind` (kvm, qemu) can have."""
        with calling("telling the capabilities of domains"):
            return parse(self.raw.getDomainCapabilities(None, arch or None, machine or None, kind, 0))


def _pool(raw: Any) -> Pool:
    root = parse(raw.XMLDesc(0))
    return Pool(raw.name(), get(root, "target/path"), bool(raw.isActive()), get(root, "@type"))
