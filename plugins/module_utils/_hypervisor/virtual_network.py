# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A libvirt network: its state, its XML, and what can be done with it."""

from __future__ import annotations

from typing import Any

from .._errors import EngineError, NotFound
from .connection import Connection
from .library import calling, library
from .xml import Element, drop, get, parse

_INVALID_ARGUMENT = 8  # VIR_ERR_INVALID_ARG


class VirtualNetwork:
    """One network; `raw` is libvirt's own object (call it inside `calling`)."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.name: str = raw.name()
        self.uuid: str = raw.UUIDString()

    def _calling(self, doing: str) -> Any:
        return calling(f"{doing} the network {self.name}")

    @property
    def active(self) -> bool:
        """Whether it runs."""
        with self._calling("looking at"):
            return bool(self.raw.isActive())

    @property
    def persistent(self) -> bool:
        """Whether it is defined, and so stays when it stops."""
        with self._calling("looking at"):
            return bool(self.raw.isPersistent())

    @property
    def autostart(self) -> bool:
        """Whether it starts with the host; one that isn't defined can't."""
        if not self.persistent:
            return False
        with self._calling("looking at"):
            return bool(self.raw.autostart())

    def set_autostart(self, value: bool) -> None:
        """Start it with the host, or not."""
        with self._calling("setting autostart of"):
            self.raw.setAutostart(1 if value else 0)

    def xml(self, *, inactive: bool = True) -> Element:
        """Its description: `inactive` the one of the next start, else what runs now."""
        root = parse(self._text(library().VIR_NETWORK_XML_INACTIVE if inactive else 0))
        # How many interfaces are plugged in is no part of what it is.
        drop(root, "@connections")
        return root

    def _text(self, flags: int) -> str:
        try:
            with self._calling("describing"):
                return str(self.raw.XMLDesc(flags))
        except EngineError as error:
            # Drivers that know one description only take no flags.
            if not flags or error.details.get("libvirt_code") != _INVALID_ARGUMENT:
                raise
        return self._text(0)

    def start(self) -> None:
        """Start it."""
        with self._calling("starting"):
            self.raw.create()

    def destroy(self) -> None:
        """Stop it now; interfaces of VMs that run lose their bridge."""
        with self._calling("stopping"):
            self.raw.destroy()

    def undefine(self) -> None:
        """Forget it."""
        with self._calling("removing"):
            self.raw.undefine()

    def update(self, section: str, *, text: str, parent: int = -1, add: bool) -> None:
        """Add or remove one element of what runs now; `section` is libvirt's name, such as IP_DHCP_HOST, `parent` the number of its <ip>."""
        found = library()
        command = found.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST if add else found.VIR_NETWORK_UPDATE_COMMAND_DELETE
        with self._calling("updating"):
            self.raw.update(
                command,
                getattr(found, f"VIR_NETWORK_SECTION_{section}"),
                parent,
                text,
                found.VIR_NETWORK_UPDATE_AFFECT_LIVE,
            )


def all_networks(connection: Connection) -> list[VirtualNetwork]:
    """All networks, sorted by name."""
    with calling("listing the networks"):
        found = [VirtualNetwork(raw) for raw in connection.raw.listAllNetworks(0)]
    return sorted(found, key=lambda network: network.name)


def network_called(connection: Connection, name: str) -> VirtualNetwork | None:
    """The network called `name`, None when there is none."""
    try:
        with calling(f"looking for the network {name}"):
            return VirtualNetwork(connection.raw.networkLookupByName(name))
    except NotFound:
        return None


def define_network(connection: Connection, xml_text: str, *, check: bool = True) -> VirtualNetwork:
    """Define or re-define the network that `xml_text` describes; with `check`, libvirt checks it against its schema first."""
    with calling(f"defining the network {get(parse(xml_text), 'name')}"):
        if check:
            return VirtualNetwork(connection.raw.networkDefineXMLFlags(xml_text, library().VIR_NETWORK_DEFINE_VALIDATE))
        return VirtualNetwork(connection.raw.networkDefineXML(xml_text))
