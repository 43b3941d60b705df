# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The run state of a VM: start, stop gracefully or by force, pause, restart."""

from __future__ import annotations

from collections.abc import Callable

from .._errors import EngineError, InUse, TimedOut
from .._faults import fault_point
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.interface import Switches
from .._jobs.clock import Clock
from .._plan import Step
from .operation import Tools
from .vm_request import VmRequest

# A guest that is still booting may miss the power button, so it is pressed again.
_ASK_EVERY = 5.0


def power_steps(request: VmRequest, *, state: str, connection: Connection, tools: Tools) -> tuple[Step, ...]:
    """The steps from the run state `state` (stopped for a VM that will be made) to the one that is asked."""
    power = Power(request, connection, tools.clock)
    steps = {
        "running": {"stopped": [power.start], "crashed": [power.start], "paused": [power.resume]},
        "paused": {"stopped": [power.start_paused], "crashed": [power.start_paused], "running": [power.suspend]},
        "stopped": {name: [power.stop] for name in ("running", "paused", "suspended", "stopping")},
        "restarted": {"stopped": [power.start], "crashed": [power.start]},
    }
    found = steps.get(request.state, {}).get(state, [power.stop, power.start] if request.state == "restarted" else [])
    return tuple(Step(f"{_TITLES[act.__name__]} {request.name}", act) for act in found)


_TITLES = {"start": "start", "start_paused": "start paused", "resume": "resume", "suspend": "pause", "stop": "stop"}


class Power:
    """The switches of one VM; the domain is looked up when they are used, since it may be defined by then only."""

    def __init__(self, request: VmRequest, connection: Connection, clock: Clock) -> None:
        self._request = request
        self._connection = connection
        self._clock = clock

    def _domain(self) -> Domain:
        found = self._connection.domain(self._request.name)
        if found is None:
            raise InUse(f"The VM {self._request.name} was removed by somebody else while this task worked on it.")
        return found

    def start(self) -> None:
        self._reach("running", lambda domain: domain.start())

    def start_paused(self) -> None:
        self._reach("paused", lambda domain: domain.start(paused=True))

    def resume(self) -> None:
        self._reach("running", lambda domain: domain.resume())

    def suspend(self) -> None:
        self._reach("paused", lambda domain: domain.suspend())

    def _reach(self, state: str, act: Callable[[Domain], None]) -> None:
        """Act; a state that was reached meanwhile is no error: libvirt finishes what a killed run asked it."""
        domain = self._domain()
        fault_point("vm:before-start")
        try:
            act(domain)
            fault_point("vm:started")
        except EngineError:
            if domain.state != state:
                raise

    def stop(self) -> None:
        stop(
            self._domain(),
            self._clock,
            timeout=self._request.shutdown_timeout,
            force=self._request.force_stop,
        )


def stop(domain: Switches, clock: Clock, *, timeout: float, force: bool) -> None:
    """Shut the guest down; when it still runs after `timeout` seconds, switch it off if `force`, else raise TimedOut."""
    if domain.state == "paused" and timeout > 0:
        # A paused guest can't hear the power button.
        domain.resume()
    deadline = clock.now() + timeout
    while domain.active and clock.now() < deadline:
        _ask(domain)
        if clock.wait_until(lambda: not domain.active, min(_ASK_EVERY, max(deadline - clock.now(), 0.0))):
            return
    if not domain.active:
        return
    if not force:
        raise TimedOut(
            f"The VM {domain.name} did not shut down within {timeout:g} seconds (shutdown_timeout); its guest may not react to "
            f"the power button. Give it more time, or set force_stop: true to switch it off then."
        )
    domain.destroy()


def _ask(domain: Switches) -> None:
    try:
        domain.shutdown()
    except EngineError:
        # It may have stopped just before it was asked.
        if domain.active:
            raise
