# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines: defined, started, stopped, paused, restarted, removed; many in one task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

from .._errors import ImageOpsError, InvalidOption
from .._files import real_path
from .._hypervisor.connection import Connection, require_local
from .._hypervisor.domain import Domain
from .._hypervisor.xml import get
from .._plan import KNOWN_AFTER, Plan, Wait
from .operation import Operation, Tools
from .qmp_request import asks_for_process, process_locks
from .vm_autostart import plan_autostart
from .vm_define import plan_definition
from .vm_define_whole import written_paths
from .vm_definition import Definition
from .vm_describe import accelerated, describe, foretell, observe, pending
from .vm_power import power_steps
from .vm_request import VmRequest, read_request
from .vm_request_checks import claim_macs, named_twice
from .vm_together import claim_memory

_STOPPED = "stopped"
_TOLD_BY_XML = ("memory", "vcpus", "disks")
_STATES_AFTER = {"running": "running", "restarted": "running", "paused": "paused", "stopped": _STOPPED}


def survey(items: Sequence[dict[str, Any]], tools: Tools) -> None:
    """Look at the VMs of a list at once. What can't be seen so, each plan looks for, and says what is wrong."""
    names: dict[str, set[str]] = {}
    for params in items:
        if not asks_for_process(params):
            names.setdefault(params["uri"], set()).add(params["name"])
    for uri, wanted in names.items():
        if len(wanted) > 1:
            with contextlib.suppress(ImageOpsError):
                require_local(uri)
                tools.hypervisor(uri).look_at(wanted)


def plan_vm(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan for one VM; raises what speaks against it."""
    if asks_for_process(params):
        from .qmp_vm import plan_process

        return plan_process(params, tools)
    request = read_request(params)
    _require_once(request, tools)
    claim_macs((network.mac for network in request.networks or () if network.mac), request.name, tools.forecast)
    connection = tools.hypervisor(request.uri)
    domain = connection.seen(request.name)
    if request.state == "absent":
        from .vm_absent import plan_absent

        return plan_absent(request, domain, connection, tools)
    return _plan_there(request, domain, connection, tools)


def _require_once(request: VmRequest, tools: Tools) -> None:
    """Raise InvalidOption when the list names the VM twice."""
    if named_twice("vm", request.params, tools):
        raise InvalidOption(f"vms: {request.name} is named twice; put all that is wanted of it into one item.")


def _plan_there(request: VmRequest, domain: Domain | None, connection: Connection, tools: Tools) -> Plan:
    definition = plan_definition(request, domain, connection, tools)
    state = domain.state if domain else _STOPPED
    power = power_steps(request, state=state, connection=connection, tools=tools)
    autostart = plan_autostart(request, domain, connection)
    steps = (*definition.steps, *autostart, *power)
    before, after = _facts(request, domain, definition, state=state)
    crowded = () if state != _STOPPED or not power else claim_memory(request.name, definition.root, tools)
    late = _late(request, domain, definition)
    waits = _waits(request, definition, connection, tools)
    return Plan(
        request.name,
        before,
        after,
        lambda: _observed(request.name, connection, late, domain=None if steps or waits else domain),
        steps=steps,
        waits=waits,
        warnings=(
            *definition.warnings,
            *_mac_warnings(request, definition, connection, tools),
            *_late_warning(request, late),
            *crowded,
        ),
        info=_info(request, domain, definition, connection, late=late),
        foretell=lambda: _foretold(request, domain, definition, connection, state=after["state"]),
    )


def _mac_warnings(request: VmRequest, definition: Definition, connection: Connection, tools: Tools) -> tuple[str, ...]:
    """Of a VM that is defined, when the task names addresses or may do so."""
    if not definition.steps or not (request.plain("xml") or any(network.mac for network in request.networks or ())):
        return ()
    from .vm_macs import mac_warnings

    return mac_warnings(definition.root, request.name, connection, tools)


def _waits(request: VmRequest, definition: Definition, connection: Connection, tools: Tools) -> tuple[Wait, ...]:
    if request.wait_for is None:
        return ()
    from .vm_wait import plan_waits

    return plan_waits(request, definition.root, connection, tools.clock)


def _foretold(
    request: VmRequest, domain: Domain | None, definition: Definition, connection: Connection, *, state: str
) -> dict[str, Any]:
    """The result of check mode: what the real run will find, as far as that can be known."""
    runs_on = domain is not None and domain.active and request.state not in ("restarted", _STOPPED)
    live = domain.xml(inactive=False) if domain and runs_on else None
    autostart = request.plain("autostart")
    return {
        **foretell(definition.root, live, connection),
        "state": state,
        "autostart": (domain.autostart if domain else False) if autostart is None else autostart,
    }


def _facts(
    request: VmRequest, domain: Domain | None, definition: Definition, *, state: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Before and after for the diff: of a VM that is there only what differs."""
    before = {"state": state if domain else "absent", **definition.before}
    after = {"state": _STATES_AFTER.get(request.state, state), **definition.after}
    if request.plain("autostart") is not None:
        before["autostart"] = domain.autostart if domain else False
        after["autostart"] = request.plain("autostart")
    if domain is None:
        return {"state": "absent"}, after
    same = [name for name in after if name != "state" and before.get(name) == after[name]]
    return _without(before, same), _without(after, same)


def _without(facts: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in names}


def _late(request: VmRequest, domain: Domain | None, definition: Definition) -> list[str]:
    """What of the description the running VM will only have after its next start."""
    if domain is None or not domain.active or request.state in ("restarted", _STOPPED):
        return []
    found = pending(domain.xml(inactive=False), definition.root)
    if request.plain("xml") and definition.steps:
        # The rest is known when libvirt has completed the XML.
        found = [name for name in found if name in _TOLD_BY_XML]
    return [*found, "cloud_init"] if definition.reseeded else found


def _late_warning(request: VmRequest, late: list[str]) -> tuple[str, ...]:
    if not late:
        return ()
    return (
        (
            f"The VM {request.name} runs with its old {', '.join(late)}; the change takes effect when it is started again "
            f"(state: restarted)."
        ),
    )


def _observed(name: str, connection: Connection, late: list[str], *, domain: Domain | None) -> dict[str, Any]:
    """The VM after the steps; as it was seen when there were none."""
    found = describe(domain, connection, late=late) if domain else observe(name, connection)
    return {**found, "restart_required": bool(late) or found.get("restart_required", False)}


def _info(
    request: VmRequest,
    domain: Domain | None,
    definition: Definition,
    connection: Connection,
    *,
    late: list[str],
) -> dict[str, Any]:
    """What is known of the result before the steps; all that check mode can tell."""
    return {
        "name": request.name,
        "uri": request.uri,
        "uuid": domain.uuid if domain else get(definition.root, "uuid", KNOWN_AFTER),
        "acceleration": accelerated(definition.root, connection),
        "restart_required": bool(late),
    }


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The VM's name, and the files that its disks are declared to have."""
    if asks_for_process(params):
        return process_locks(params)
    paths = [disk["path"] for disk in params.get("disks") or () if disk.get("path") and disk.get("device") != "cdrom"]
    return [f"domain:{params['name']}", *map(real_path, [*paths, *written_paths(params.get("xml"))])]


OPERATION = Operation(plan=plan_vm, survey=survey, result="vms", locks=locks, parallel=8, lock_timeout=60.0)
