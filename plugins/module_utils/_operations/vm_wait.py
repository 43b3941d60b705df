# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a VM: until it runs, until its console says something."""

from __future__ import annotations

import re
from typing import Any, Protocol

from .._errors import Conflict, InvalidOption, TimedOut
from .._hypervisor.connection import Connection
from .._hypervisor.console import Console
from .._hypervisor.devices import log_of
from .._hypervisor.xml import Element
from .._jobs.clock import Clock
from .._plan import Wait
from .vm_console_past import past_console
from .vm_host import started
from .vm_request import WaitRequest

_TAIL = 10


class Awaited(Protocol):
    """The part of a request that tells which VM to wait for, and for what."""

    @property
    def name(self) -> str: ...

    @property
    def uri(self) -> str: ...

    @property
    def wait_for(self) -> WaitRequest | None: ...


def plan_waits(request: Awaited, root: Element, connection: Connection, clock: Clock) -> tuple[Wait, ...]:
    """What to wait for; raises InvalidOption when the VM (described by `root`) has no console that could be read."""
    wanted = request.wait_for
    if wanted is None or not (wanted.running or wanted.console):
        return ()
    log = log_of(root)
    if wanted.console and not log:
        raise InvalidOption(
            f"wait_for.console: the serial console of {request.name} is not logged to a file; set console: true and restart it."
        )
    watch = _Watch(request, wanted, log, connection, clock)
    return (Wait(f"wait for {request.name}", watch.run),)


class _Watch:
    def __init__(self, request: Awaited, wanted: WaitRequest, log: str, connection: Connection, clock: Clock) -> None:
        self._request = request
        self._wanted = wanted
        self._connection = connection
        self._clock = clock
        self._name = request.name
        self._console = Console(log)
        self._matched = ""
        self._ended = False

    def run(self) -> dict[str, Any]:
        """Wait; the result tells the text that matched."""
        began = self._clock.now()
        self._console.since = started(self._request.uri, self._name)
        domain = self._connection.domain(self._name)
        if domain:
            self._console.past = past_console(domain, uri=self._request.uri)
        if not self._clock.wait_until(self._look, self._wanted.timeout, interval=0.2):
            raise TimedOut(
                f"{self._sentence()} within {self._wanted.timeout:g} seconds{self._said()}", **self._details()
            )
        if self._ended:
            raise Conflict(f"The VM {self._name} stopped before {self._awaited()}{self._said()}", **self._details())
        found: dict[str, Any] = {"waited": round(self._clock.now() - began, 3)}
        return {**found, "console_match": self._matched} if self._wanted.console else found

    def _look(self) -> bool:
        """Whether there is nothing left to wait for: it came, or the VM ended."""
        domain = self._connection.domain(self._name)
        state = domain.state if domain else "absent"
        # The state is read first: what a VM said before it ended is still found below.
        if self._wanted.console:
            match = self._console.find(self._wanted.console)
            if match:
                self._matched = _line(match)
                return not self._wanted.running or state == "running"
        elif state == "running":
            return True
        self._ended = state in ("stopped", "crashed", "absent")
        return self._ended

    def _awaited(self) -> str:
        console = self._wanted.console
        return f"its console said '{console.pattern}'" if console else "it was running"

    def _sentence(self) -> str:
        console = self._wanted.console
        if console and not self._matched:
            return f"The console of {self._name} did not say '{console.pattern}'"
        return f"The VM {self._name} was not running"

    def _said(self) -> str:
        lines = self._console.tail(_TAIL)
        return "; its last lines were:\n" + "\n".join(lines) if lines else "; the console said nothing."

    def _details(self) -> dict[str, Any]:
        return {"console_tail": self._console.tail(_TAIL)}


def _line(match: re.Match[str]) -> str:
    """The whole lines that a match is on."""
    text = match.string
    start = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", match.end())
    return text[start : end if end >= 0 else len(text)].strip()
