# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a VM: until it runs, until its console, its guest agent, its network say what they shall."""

from __future__ import annotations

import os
from typing import Any, Protocol

from .._errors import Conflict, ImageOpsError, InvalidOption, TimedOut, system_error
from .._hypervisor.addresses import AGENT, ANY
from .._hypervisor.channel import CHANNEL, channel_in
from .._hypervisor.connection import Connection
from .._hypervisor.console import Console
from .._hypervisor.devices import log_of
from .._hypervisor.domain import Domain
from .._hypervisor.xml import Element
from .._jobs.clock import Clock
from .._plan import Wait
from .vm_console_past import past_console
from .vm_host import started
from .vm_request import WaitRequest
from .vm_wait_conditions import (
    AgentAnswers,
    CloudInitFinished,
    Condition,
    ConsoleSaid,
    HasAddress,
    SshAnswers,
)

_TAIL = 10
_INTERVAL = 0.2


class Awaited(Protocol):
    """The part of a request that tells which VM to wait for, and for what."""

    @property
    def name(self) -> str: ...

    @property
    def uri(self) -> str: ...

    @property
    def wait_for(self) -> WaitRequest | None: ...


def plan_waits(request: Awaited, root: Element, connection: Connection, clock: Clock) -> tuple[Wait, ...]:
    """What to wait for; raises InvalidOption when the VM (described by `root`) lacks the way to see it."""
    wanted = request.wait_for
    if wanted is None or not wanted.anything:
        return ()
    log = log_of(root)
    _require_ways(request.name, wanted, log=log, channel=channel_in(root))
    watch = _Watch(request, wanted, log, connection, clock)
    return (Wait(f"wait for {request.name}", watch.run),)


def _require_ways(name: str, wanted: WaitRequest, *, log: str, channel: bool) -> None:
    if wanted.console and not log:
        raise InvalidOption(
            f"wait_for.console: the serial console of {name} is not logged to a file; set console: true and restart it."
        )
    option = "agent" if wanted.agent else "ip" if wanted.ip == AGENT else ""
    if option and not channel:
        raise InvalidOption(
            f"wait_for.{option}: {name} has no channel {CHANNEL} to its guest agent; set agent: true and restart it."
        )
    if wanted.cloud_init and not (log or channel):
        raise InvalidOption(
            f"wait_for.cloud_init: {name} has neither a console that is logged to a file nor a channel {CHANNEL} to its guest agent; "
            f"set console: true and restart it."
        )


class _Watch:
    def __init__(self, request: Awaited, wanted: WaitRequest, log: str, connection: Connection, clock: Clock) -> None:
        self._uri = request.uri
        self._wanted = wanted
        self._connection = connection
        self._clock = clock
        self._name = request.name
        # Two readers of one log: each remembers how far it has read.
        self._console, self._notes = Console(log), Console(log)
        self._conditions = self._wishes()
        self._next = dict.fromkeys(self._conditions, 0.0)
        self._missing = list(self._conditions)
        self._runs = False
        self._ended = False

    def _wishes(self) -> list[Condition]:
        wanted, name = self._wanted, self._name
        found: list[Condition | None] = [
            ConsoleSaid(name, wanted.console, self._console) if wanted.console else None,
            AgentAnswers(name) if wanted.agent else None,
            HasAddress(name, wanted.ip) if wanted.ip else None,
            SshAnswers(name, wanted.ssh, wanted.ip or ANY) if wanted.ssh else None,
            CloudInitFinished(name, self._notes) if wanted.cloud_init else None,
        ]
        return [condition for condition in found if condition]

    def run(self) -> dict[str, Any]:
        """Wait; the result tells what was found."""
        began = self._clock.now()
        domain = self._connection.domain(self._name)
        for console in (self._console, self._notes):
            console.since = started(self._uri, self._name)
            if domain:
                console.past = past_console(domain, uri=self._uri)
        if not self._clock.wait_until(self._look, self._wanted.timeout, interval=_INTERVAL):
            raise TimedOut(
                f"{self._sentence()} within {self._wanted.timeout:g} seconds{self._said()}", **self._details()
            )
        if self._ended:
            raise Conflict(f"The VM {self._name} stopped before {self._awaited()}{self._said()}", **self._details())
        found: dict[str, Any] = {"waited": round(self._clock.now() - began, 3)}
        for condition in self._conditions:
            found.update(condition.facts())
        return found

    def _look(self) -> bool:
        """Whether there is nothing left to wait for: it came, or the VM ended."""
        domain = self._connection.domain(self._name)
        # The state is read first: what a VM said before it ended is still found below.
        state = domain.state if domain else "absent"
        self._runs = state == "running"
        if domain:
            self._missing = [each for each in self._missing if not self._is_met(each, domain)]
        if not self._missing and (self._runs or not self._wanted.running):
            return True
        self._ended = state in ("stopped", "crashed", "absent")
        return self._ended

    def _is_met(self, condition: Condition, domain: Domain) -> bool:
        if self._clock.now() < self._next[condition]:
            return False
        self._next[condition] = self._clock.now() + condition.every
        return condition.look(domain)

    def _awaited(self) -> str:
        return " and ".join(condition.awaited for condition in self._missing) or "it was running"

    def _sentence(self) -> str:
        return "; ".join(condition.missing for condition in self._missing) or f"The VM {self._name} was not running"

    def _said(self) -> str:
        lines = self._tail()
        return "; its last lines were:\n" + "\n".join(lines) if lines else "; the console said nothing."

    def _tail(self) -> list[str]:
        self._console.recent()
        return self._console.tail(_TAIL)

    def _details(self) -> dict[str, Any]:
        return {"console_tail": self._tail(), **self._picture()}

    def _picture(self) -> dict[str, str]:
        """What the screen shows, when that is asked for; why there is no picture doesn't hide what went wrong."""
        if not self._wanted.screenshot:
            return {}
        from .vm_screenshot import require_screen, take_picture

        path = os.path.join(self._wanted.screenshot, f"{self._name}.png")
        try:
            domain = self._connection.domain(self._name)
            if domain is None or not domain.active:
                raise Conflict(f"The VM {self._name} doesn't run, so its screen shows nothing.")
            require_screen(domain)
            return {"screenshot": take_picture(self._connection, domain, path)["path"]}
        except ImageOpsError as error:
            return {"screenshot_error": str(error)}
        except OSError as error:
            return {"screenshot_error": str(system_error(error))}
