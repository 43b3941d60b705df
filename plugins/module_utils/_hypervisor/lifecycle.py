# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a domain that goes with the connection: libvirt's events, so that its end is told apart from its death."""

from __future__ import annotations

import functools
import threading
from typing import Any

from .._errors import EngineError
from .connection import Connection
from .domain import Domain
from .library import calling, library
from .xml import get, parse

# virDomainEventType and virDomainEventStoppedDetailType of libvirt/libvirt-domain.h.
_STARTED = 2
_STOPPED = 5
_SHUT_DOWN = 0
_HOW = {0: "shut down", 1: "stopped from outside", 2: "crashed", 3: "migrated", 4: "saved", 5: "died", 6: "reverted"}


@functools.cache
def _run_events() -> None:
    """Have libvirt's events handled by a thread of this process; needed before the connection is opened."""
    found = library()
    found.virEventRegisterDefaultImpl()

    def run() -> None:
        while True:
            found.virEventRunDefaultImpl()

    threading.Thread(target=run, daemon=True).start()


class Lifecycle:
    """A connection of its own on which domains live that end with this process, and what has become of them."""

    def __init__(self, uri: str) -> None:
        _run_events()
        self.connection = Connection.open(uri)
        self._starting: set[str] = set()
        self._ends: dict[str, str] = {}
        self._reboots: dict[str, int] = {}
        raw, found = self.connection.raw, library()
        with calling("asking for events"):
            raw.domainEventRegisterAny(None, found.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._changed, None)
            raw.domainEventRegisterAny(None, found.VIR_DOMAIN_EVENT_ID_REBOOT, self._rebooted, None)

    def start(self, xml_text: str) -> Domain:
        """Start a domain that isn't kept, and that libvirt ends with this connection."""
        name = get(parse(xml_text), "name")
        # libvirt hands events on later than they happen: until this start is told, an end is that of an earlier domain.
        self._starting.add(name)
        self._ends.pop(name, None)
        self._reboots.pop(name, None)
        with calling(f"starting the domain {name}"):
            return Domain(self.connection.raw.createXML(xml_text, library().VIR_DOMAIN_START_AUTODESTROY))

    def end_of(self, name: str) -> str:
        """How the domain ended, an empty string while it runs."""
        return self._ends.get(name, "")

    @staticmethod
    def is_orderly(end: str) -> bool:
        """Whether an end is the guest's own."""
        return end == _HOW[_SHUT_DOWN]

    def reboots(self, name: str) -> int:
        """How often the guest has rebooted since it was started."""
        return self._reboots.get(name, 0)

    def require_alive(self) -> None:
        """Raise EngineError when libvirt's daemon has gone away: then nobody tells how a domain ends."""
        with calling("looking at the connection"):
            alive = self.connection.raw.isAlive()
        if alive == 0:
            raise EngineError("libvirt's daemon went away meanwhile; run the task again.")

    def close(self) -> None:
        """End the connection, and all domains on it."""
        self.connection.close()

    def _changed(self, _connection: Any, raw: Any, event: int, detail: int, _data: Any) -> None:
        name = raw.name()
        if event == _STARTED:
            self._starting.discard(name)
        elif event == _STOPPED and name not in self._starting:
            self._ends[name] = _HOW.get(detail, "ended")

    def _rebooted(self, _connection: Any, raw: Any, _data: Any) -> None:
        self._reboots[raw.name()] = self._reboots.get(raw.name(), 0) + 1
