# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks: defined, changed while they run where libvirt can, started, stopped, removed; many in one task."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from .._errors import NotFound
from .._faults import fault_point
from .._hypervisor.connection import Connection
from .._hypervisor.network_facts import facts
from .._hypervisor.virtual_network import VirtualNetwork, network_called
from .._plan import KNOWN_AFTER, Plan, Step
from .operation import Operation, Tools
from .vm_network_definition import Definition
from .vm_network_live import restart_reasons, updates
from .vm_network_request import NetworkRequest, read_network, require_mode
from .vm_network_room import claim_of, claims, require_once, require_room
from .vm_network_users import all_users, plug_in_again, require_unused, running_users, some, unplugged

_RUNNING, _STOPPED, _ABSENT = "running", "stopped", "absent"
_ALWAYS, _NEVER = "always", "never"
# What tells where a network is; all else can't collide with anybody.
_PLACE = ("mode", "bridge", "forward_dev", "addresses", "vlan")


def plan_network(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan for one network; raises what speaks against it."""
    request = read_network(params)
    require_once(request, tools)
    connection = tools.hypervisor(request.uri)
    network = network_called(connection, request.name)
    if request.state == _ABSENT:
        return _plan_absent(request, network, connection, tools)
    return _Present(request, network, connection, tools).plan()


def _plan_absent(request: NetworkRequest, network: VirtualNetwork | None, connection: Connection, tools: Tools) -> Plan:
    gone = {"name": request.name, "uri": request.uri, "state": _ABSENT}
    if network is None:
        return Plan(request.name, gone, gone, lambda: gone)
    require_unused(request.name, all_users(request.name, connection), doing="removed")
    claims(connection, tools).pop(request.name, None)
    before = {"state": _RUNNING if network.active else _STOPPED, **facts(network.xml())}
    step = Step(f"remove {request.name}", functools.partial(_remove, network, connection))
    return Plan(request.name, before, {"state": _ABSENT}, lambda: gone, steps=(step,), foretell=lambda: gone)


def _remove(network: VirtualNetwork, connection: Connection) -> None:
    # A VM may have been started since.
    require_unused(network.name, all_users(network.name, connection), doing="removed")
    fault_point("network:before-remove")
    if network.persistent:
        network.undefine()
    fault_point("network:undefined")
    if network.active:
        network.destroy()


class _Present:
    """A network that shall be there."""

    def __init__(
        self, request: NetworkRequest, network: VirtualNetwork | None, connection: Connection, tools: Tools
    ) -> None:
        self._request = request
        self._network = network
        self._connection = connection
        self._tools = tools
        self._active = network is not None and network.active
        self._definition = Definition(request, network)
        self._warnings: list[str] = []

    def plan(self) -> Plan:
        request, definition = self._request, self._definition
        require_mode(definition.after, request.declared)
        starts = request.state == _RUNNING and not self._active
        if starts or any(definition.before.get(name) != definition.after[name] for name in _PLACE):
            require_room(request, definition.before, definition.after, self._connection, self._tools)
        claims(self._connection, self._tools)[request.name] = claim_of(definition.after)
        late = self._late()
        steps = (*self._define(), *self._change_running(late), *self._power(), *self._autostart())
        before, after = self._facts()
        return Plan(
            request.name,
            before,
            after,
            self._observe,
            steps=steps,
            warnings=tuple(self._warnings),
            foretell=lambda: self._foretell(late if not self._restarts(late) else []),
        )

    def _define(self) -> Iterable[Step]:
        if self._definition.differs:
            verb = "define" if self._network is None else "redefine"
            yield Step(f"{verb} {self._request.name}", self._run_define)

    def _run_define(self) -> None:
        fault_point("network:before-define")
        self._definition.define(self._connection)
        fault_point("network:defined")

    def _late(self) -> list[str]:
        """What of the description the running network has only after a restart."""
        if not self._network or not self._active or self._request.state == _STOPPED:
            return []
        return restart_reasons(self._network.xml(inactive=False), self._definition.root)

    @functools.cached_property
    def _users(self) -> list[str]:
        return running_users(self._request.name, self._connection)

    def _restarts(self, late: list[str]) -> bool:
        how = self._request.restart
        return bool(late) and how != _NEVER and (how == _ALWAYS or not self._users)

    def _change_running(self, late: list[str]) -> tuple[Step, ...]:
        if not self._network or not self._active or self._request.state == _STOPPED:
            return ()
        if self._restarts(late):
            if self._users:
                self._warnings.append(
                    f"The network {self._request.name} is restarted while {some(self._users)} on it; their links go down for a moment."
                )
            return (Step(f"restart {self._request.name}", self._restart),)
        if late:
            why = (
                f"{some(self._users)} on it" if self._users and self._request.restart != _NEVER else "restart is never"
            )
            self._warnings.append(
                f"The network {self._request.name} runs with its old {', '.join(late)}, since {why}; the change takes effect when it is started "
                f"again (restart: always)."
            )
        return (*self._update(self._network), *self._plug_in())

    def _update(self, network: VirtualNetwork) -> Iterable[Step]:
        found = updates(network.xml(inactive=False), self._definition.root)
        return tuple(
            Step(f"{update.title} in {self._request.name}", functools.partial(update.run, network)) for update in found
        )

    def _plug_in(self) -> Iterable[Step]:
        """What an interrupted restart left to do."""
        vms = unplugged(self._request.name, self._connection)
        if vms:
            act = functools.partial(plug_in_again, self._request.name, self._connection, self._tools)
            yield Step(f"plug {', '.join(vms)} in again on {self._request.name}", act)

    def _restart(self) -> None:
        network = self._there()
        if self._request.restart != _ALWAYS:
            require_unused(network.name, running_users(network.name, self._connection), doing="restarted")
        fault_point("network:before-restart")
        if network.active:
            network.destroy()
        fault_point("network:down")
        self._start()

    def _power(self) -> tuple[Step, ...]:
        name = self._request.name
        if self._request.state == _RUNNING and not self._active:
            return (Step(f"start {name}", self._start),)
        if self._request.state == _STOPPED and self._active:
            require_unused(name, self._users, doing="stopped")
            return (Step(f"stop {name}", self._stop),)
        return ()

    def _start(self) -> None:
        fault_point("network:before-start")
        self._there().start()
        fault_point("network:started")
        plug_in_again(self._request.name, self._connection, self._tools)

    def _stop(self) -> None:
        require_unused(self._request.name, running_users(self._request.name, self._connection), doing="stopped")
        self._there().destroy()

    def _there(self) -> VirtualNetwork:
        network = network_called(self._connection, self._request.name)
        if network is None:
            raise NotFound(
                f"The network {self._request.name} was removed by somebody else while this task worked on it."
            )
        return network

    def _autostart(self) -> tuple[Step, ...]:
        wanted = self._request.autostart
        if wanted is None or wanted == bool(self._network and self._network.autostart):
            return ()
        title = "start with the host" if wanted else "don't start with the host"
        return (Step(f"{title}: {self._request.name}", lambda: self._there().set_autostart(wanted)),)

    @property
    def _state_before(self) -> str:
        return _RUNNING if self._active else _STOPPED if self._network else _ABSENT

    @property
    def _state_after(self) -> str:
        state = self._request.state
        return state if state in (_RUNNING, _STOPPED) else _RUNNING if self._active else _STOPPED

    def _facts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Before and after for the diff: of a network that is there only what differs."""
        before, after = self._definition.changes()
        before, after = {"state": self._state_before, **before}, {"state": self._state_after, **after}
        if self._request.autostart is not None:
            was = bool(self._network and self._network.autostart)
            if was != self._request.autostart:
                before["autostart"], after["autostart"] = was, self._request.autostart
        return ({"state": _ABSENT} if self._network is None else before), after

    def _observe(self) -> dict[str, Any]:
        network = self._there()
        root = network.xml()
        late = restart_reasons(network.xml(inactive=False), root) if network.active else []
        return {
            "name": network.name,
            "uri": self._request.uri,
            "uuid": network.uuid,
            "state": _RUNNING if network.active else _STOPPED,
            "autostart": network.autostart,
            **facts(root),
            "restart_required": bool(late),
        }

    def _foretell(self, late: list[str]) -> dict[str, Any]:
        """The result of check mode: what the real run will find, as far as that can be known."""
        autostart = self._request.autostart
        told = dict(self._definition.after)
        return {
            "name": self._request.name,
            "uri": self._request.uri,
            "uuid": self._network.uuid if self._network else KNOWN_AFTER,
            "state": self._state_after,
            "autostart": bool(self._network and self._network.autostart) if autostart is None else autostart,
            **told,
            "bridge": told["bridge"] or KNOWN_AFTER,
            "restart_required": bool(late),
        }


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """All networks of the host: subnets and bridges of one must not collide with those of another."""
    return ["networks"]


OPERATION = Operation(plan=plan_network, result="networks", locks=locks)
