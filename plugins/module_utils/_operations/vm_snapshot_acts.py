# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The acts on snapshots: bounded in time, and after a failed revert the VM is still there."""

from __future__ import annotations

from typing import Any

from .._errors import EngineError
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import create_snapshot, delete_snapshot, revert_to_snapshot, snapshots
from .._hypervisor.snapshots_external import settle
from .._hypervisor.xml import serialise
from .operation import Tools
from .vm_console_past import forget_console, go_on, keep_console
from .vm_snapshot_bounded import bounded
from .vm_snapshot_delete import forget_marked
from .vm_snapshot_external import recover_taking, take_external
from .vm_snapshot_inside import marked, recover_inside
from .vm_snapshot_journal import DELETE, REVERT, TAKE
from .vm_snapshot_kind import Choice
from .vm_snapshot_merge import tidy_layers
from .vm_snapshot_point import remember_point
from .vm_snapshot_revert import recover_revert, revert_external


def take(domain: Domain, params: dict[str, Any], *, targets: list[str], memory: bool) -> dict[str, float]:
    """Take the snapshot; the seconds that libvirt's call took."""
    name, timeout = params["name"], params["timeout"]
    description = params["description"] or ""
    with marked(domain, TAKE, [name], timeout=timeout):
        seconds = bounded(
            lambda: create_snapshot(domain, name, description=description, targets=targets, memory=memory),
            timeout=timeout,
            what=f"taking the snapshot {name} of {domain.name}",
        )
    if memory:
        keep_console(domain, name, uri=params["uri"])
    remember_point(domain, name)
    return {"engine_seconds": round(seconds, 3)}


def revert(connection: Connection, domain: Domain, params: dict[str, Any]) -> None:
    """Revert; when libvirt fails the VM is looked for, defined again where it got lost, and its state told."""
    name, kept, ran = params["name"], serialise(domain.xml(secure=True)), domain.active
    start, timeout = bool(params["start"]), params["timeout"]
    try:
        with marked(domain, REVERT, [name], timeout=timeout, start=start):
            bounded(
                lambda: revert_to_snapshot(domain, name, start=start),
                timeout=timeout,
                what=f"reverting {domain.name} to {name}",
            )
    except EngineError as error:
        raise _failed(connection, domain, error, kept=kept, ran=ran) from None
    go_on(domain, name, uri=params["uri"])
    remember_point(domain, name)


def _failed(connection: Connection, domain: Domain, error: EngineError, *, kept: str, ran: bool) -> EngineError:
    found = connection.domain(domain.name)
    how = "its definition and its snapshots are as before"
    if found is None:
        found, how = connection.define(kept), "libvirt had lost its definition, which was put back"
    before = "ran" if ran else "was stopped"
    return EngineError(
        f"{str(error).rstrip('.')}. The VM {before} before and is {found.state} now; {how}.", **error.details
    )


def delete(domain: Domain, params: dict[str, Any], names: list[str]) -> None:
    """Delete the snapshot, with its children where asked, which makes it `names`, parents first."""
    name, timeout = params["name"], params["timeout"]
    with marked(domain, DELETE, names[::-1], timeout=timeout):
        bounded(
            lambda: delete_snapshot(domain, name, children=bool(params["remove_children"])),
            timeout=timeout,
            what=f"deleting the snapshot {name} of {domain.name}",
        )
    for gone in names:
        forget_console(domain, gone)


def take_outside(
    domain: Domain, connection: Connection, params: dict[str, Any], choice: Choice, tools: Tools
) -> dict[str, float]:
    """Take an external snapshot; the seconds that `take_external` tells."""
    if any(found.name == params["name"] for found in snapshots(domain)):
        # The interrupted run had taken it, without libvirt's knowledge.
        return {}
    told = take_external(domain, connection, params, choice, tools)
    if choice.memory:
        keep_console(domain, params["name"], uri=params["uri"])
    remember_point(domain, params["name"])
    return told


def revert_outside(connection: Connection, domain: Domain, params: dict[str, Any], tools: Tools) -> None:
    """Revert to an external snapshot."""
    revert_external(domain, connection, params, tools)
    go_on(domain, params["name"], uri=params["uri"])
    remember_point(domain, params["name"])


def recover(domain: Domain, connection: Connection, tools: Tools, *, timeout: float, reverts: bool) -> None:
    """Finish or undo what an interrupted run left; `reverts` says that the VM is brought back afterwards anyhow."""
    settle(domain)
    half = recover_inside(domain, timeout=timeout)
    if half and not reverts:
        again = {"name": half["names"][0], "start": half["start"], "timeout": timeout, "uri": connection.uri}
        revert(connection, domain, again)
    forget_marked(domain)
    recover_taking(domain, connection, tools, timeout=timeout)
    recover_revert(domain, connection, tools, timeout=timeout)
    tidy_layers(domain, connection, tools, timeout=timeout)
