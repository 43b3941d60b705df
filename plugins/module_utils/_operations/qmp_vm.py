# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that are QEMU processes: paused, resumed, stopped; whoever starts them starts them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

from .._errors import EngineError, InvalidOption, NotFound
from .._hypervisor.capabilities import QMP, require
from .._hypervisor.qmp_process import QemuProcess
from .._plan import Plan, Step
from .operation import Tools
from .qmp_facts import describe_process, gone_process
from .qmp_request import process_of, refuse_options, socket_of
from .vm_power import stop

_STOPPED = "stopped"
# What the module takes besides the description of a VM; the last are about catalogs of images, and have defaults.
_TAKEN = (
    "name", "state", "uri", "hypervisor", "socket", "shutdown_timeout", "force_stop", "wait_for", "search_paths", "vms",
    "parallel", "lock_timeout", "validate_certs", "plain_http", "idle_timeout", "mirrors",
)  # fmt: skip
_NEEDS = {"present": "define", "absent": "define", "restarted": "start"}


def plan_process(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan for one process; raises Unsupported for what only libvirt can do."""
    _require_once(params, tools)
    wanted = params["state"]
    if wanted in _NEEDS:
        require(QMP, _NEEDS[wanted], option=f"state: {wanted}")
    refuse_options(params, "define", [option for option in params if option not in _TAKEN])
    refuse_options(params, "wait", ("wait_for",))
    try:
        process = process_of(params, tools, name=params["name"], option="name")
    except NotFound:
        if wanted != _STOPPED:
            require(QMP, "start", option=f"state: {wanted}, while no process listens at {params['socket']}")
        gone = gone_process(params, _STOPPED)
        return Plan(params["name"], {"state": _STOPPED}, {"state": _STOPPED}, lambda: gone)
    return _plan_there(params, process, tools)


def _require_once(params: dict[str, Any], tools: Tools) -> None:
    """Raise InvalidOption when the list names the process twice."""
    if tools.has_twice(f"process:{socket_of(params)}", params):
        raise InvalidOption(
            f"vms: the process at {params['socket']} is named twice; put all that is wanted of it into one item."
        )


def _plan_there(params: dict[str, Any], process: QemuProcess, tools: Tools) -> Plan:
    found, wanted = describe_process(process, params["name"]), params["state"]
    plan = Plan(
        params["name"],
        {"state": found["state"]},
        {"state": wanted},
        lambda: _observed(params, process),
        foretell=lambda: {**found, "state": wanted},
    )
    return plan if found["state"] == wanted else replace(plan, steps=(_step(params, process, found["state"], tools),))


def _step(params: dict[str, Any], process: QemuProcess, state: str, tools: Tools) -> Step:
    name, wanted = params["name"], params["state"]
    if wanted == _STOPPED:
        return Step(f"stop {name}", lambda: _stop(params, process, tools))
    if state not in ("running", "paused"):
        require(QMP, "start", option=f"state: {wanted}, while the guest at {process.path} is {state}")
    if wanted == "running":
        return Step(f"resume {name}", lambda: _reach(process, wanted, process.resume))
    return Step(f"pause {name}", lambda: _reach(process, wanted, process.suspend))


def _stop(params: dict[str, Any], process: QemuProcess, tools: Tools) -> None:
    stop(process, tools.clock, timeout=float(params["shutdown_timeout"]), force=params["force_stop"])


def _reach(process: QemuProcess, state: str, act: Callable[[], None]) -> None:
    """Act; a state that was reached meanwhile is no error."""
    try:
        act()
    except EngineError:
        if process.state != state:
            raise


def _observed(params: dict[str, Any], process: QemuProcess) -> dict[str, Any]:
    return describe_process(process, params["name"]) if process.active else gone_process(params, _STOPPED)
