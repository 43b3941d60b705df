# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of a virtual network as a task wants it: options set by path, XML merged into that."""

from __future__ import annotations

import hashlib
from typing import Any

from .._errors import Conflict, InvalidOption
from .._hypervisor.connection import Connection
from .._hypervisor.merge import merge
from .._hypervisor.network_edit import set_option
from .._hypervisor.network_facts import BRIDGE, facts, mode_of
from .._hypervisor.virtual_network import VirtualNetwork, define_network
from .._hypervisor.xml import IMAGEOPS, Element, alike, canonical, clone, get, parse, put, serialise
from .vm_host import is_linux_bridge
from .vm_network_request import NetworkRequest, require_forwarding

_NOTE = f"metadata/{{{IMAGEOPS}}}network"
_DECLARED, _REWRITTEN = f"{_NOTE}/@sha256", f"{_NOTE}/@rewritten"


class Definition:
    """What is there (`existing`), what is wanted (`root`), and whether they differ."""

    def __init__(self, request: NetworkRequest, network: VirtualNetwork | None) -> None:
        self._request = request
        self._part = _part(request)
        self.existing = network.xml() if network else None
        self.before = facts(self.existing) if self.existing is not None else {}
        self.root = self._merged(self._plain())
        self.after = _facts_of(self.root)
        self._require_agreement()
        same = self.existing is not None and alike(self.existing, self.root)
        self.differs = not (same and network and network.persistent)

    def _plain(self) -> Element:
        """What is there with the options in it."""
        root = clone(self.existing) if self.existing is not None else Element("network")
        put(root, "name", self._request.name)
        for option, value in self._request.declared.items():
            if option == "forward_dev" and value:
                require_forwarding(mode_of(root))
            if facts(root)[option] != value:
                set_option(root, option, value)
        return root

    def _merged(self, root: Element) -> Element:
        """`root` with the XML in it, just as it is when only that is missing which libvirt had rewritten."""
        if self._part is None:
            return _with_port(root)
        _keep_uuid(self._part, root)
        found = clone(root)
        changes = {str(change) for change in merge(found, self._part)}
        told = hashlib.sha256(canonical(self._part).encode()).hexdigest()
        known = set(get(root, _REWRITTEN).split()) if get(root, _DECLARED) == told else set()
        if changes <= known:
            return _with_port(root)
        put(found, _DECLARED, told)
        put(found, _REWRITTEN, None)
        return _with_port(found)

    def _require_agreement(self) -> None:
        """Raise InvalidOption when the XML says another thing than an option: each run would set the one and then the other."""
        for option, value in self._request.declared.items():
            if self.after[option] != value:
                raise InvalidOption(
                    f"xml: both {option} and the XML tell this network's {option}, and they don't agree; leave it out of the one or the other."
                )

    def define(self, connection: Connection) -> None:
        """Define it, and note what libvirt made of the XML."""
        network = define_network(connection, serialise(self.root), check=self._part is not None)
        if self._part is None:
            return
        found = network.xml()
        changes = sorted(str(change) for change in merge(clone(found), self._part))
        if changes:
            put(found, _REWRITTEN, " ".join(changes))
            define_network(connection, serialise(found), check=False)

    def changes(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Before and after of what differs, for the diff."""
        names = [name for name, value in self.after.items() if self.before.get(name) != value]
        if not self.before:
            names = [name for name in names if self.after[name]]
        before = {name: self.before[name] for name in names if name in self.before}
        after = {name: self.after[name] for name in names}
        if self.differs and self._part is not None and not after:
            return {"xml": "(another)"}, {"xml": "(as declared)"}
        return before, after


def _part(request: NetworkRequest) -> Element | None:
    """The XML of the task; raises InvalidOption when it isn't part of the description of this network."""
    if not request.xml:
        return None
    root = parse(request.xml)
    if root.tag != "network":
        raise InvalidOption(f"xml: the root element is <{root.tag}>, and a network's is <network>.")
    found = get(root, "name")
    if found and found != request.name:
        raise InvalidOption(f"xml: the XML describes the network {found}, and name says {request.name}; use one name.")
    return root


def _keep_uuid(part: Element, root: Element) -> None:
    there, told = get(root, "uuid"), get(part, "uuid").lower()
    if there and told and there != told:
        raise Conflict(
            f"xml: the network {get(root, 'name')} has the UUID {there}; leave <uuid> out, or remove the network first."
        )


def _with_port(root: Element) -> Element:
    """A bridge of the host that isn't the kernel's own is one of Open vSwitch, and ports are told so."""
    told = facts_or_none(root)
    if told and told["mode"] == BRIDGE and told["bridge"] and not is_linux_bridge(told["bridge"]):
        put(root, "virtualport/@type", get(root, "virtualport/@type") or "openvswitch")
    return root


def facts_or_none(root: Element) -> dict[str, Any] | None:
    """The facts of XML that a task gave, None when it holds what can't be read."""
    try:
        return facts(root)
    except ValueError:
        return None


def _facts_of(root: Element) -> dict[str, Any]:
    try:
        return facts(root)
    except ValueError as error:
        raise InvalidOption(f"xml: the XML has a value that a network can't have: {error}.") from None
