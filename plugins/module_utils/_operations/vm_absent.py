# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Removing a VM: stop it, forget it, and delete what was made for it when that is asked."""

from __future__ import annotations

import functools
import glob
import os
from collections.abc import Iterator, Sequence

from .._faults import fault_point
from .._files import real_path, remove
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain, Seen
from .._plan import Plan, Step
from .._records import Record, read_record, tidy_sidecars
from .operation import Tools
from .usage import DOMAIN, User, refuse, users_of
from .vm_console_past import forget_console
from .vm_describe import absent
from .vm_disks import Attached
from .vm_host import default_folder
from .vm_power import stop
from .vm_request import VmRequest
from .vm_seed import is_seed
from .vm_snapshot_journal import forget_journal, snapshot_files


def plan_absent(request: VmRequest, domain: Seen | None, connection: Connection, tools: Tools) -> Plan:
    """The plan that removes the VM `request.name`; also what an interrupted removal left of it."""
    files = _files(request, domain, connection)
    kept = [] if request.remove_disks else [path for path, record in files.items() if not is_seed(record)]
    doomed = [path for path in files if path not in kept]
    if domain:
        doomed = [path for path in doomed if os.path.exists(path)]
    for path in doomed:
        if not is_seed(files[path]):
            tools.bases.remove(path)
        _require_free(path, request, tools, gone=doomed)
    steps = [*_leave_steps(request, domain, tools), *(_delete_step(path) for path in doomed)]
    gone = absent(request.name, request.uri)
    before = {"state": domain.state, **({"disks": doomed} if doomed else {})} if domain else {"disks": doomed}
    return Plan(
        request.name,
        before if steps else gone,
        gone,
        lambda: gone,
        steps=tuple(steps),
        info={"removed": doomed, "kept": kept},
    )


def _leave_steps(request: VmRequest, domain: Seen | None, tools: Tools) -> Iterator[Step]:
    if domain is None:
        return
    if domain.active:
        ends = functools.partial(
            stop, domain.now, tools.clock, timeout=request.shutdown_timeout, force=request.force_stop
        )
        yield Step(f"stop {request.name}", ends)
    if domain.persistent:
        yield Step(f"remove {request.name}", functools.partial(_forget, domain.now))


def _forget(domain: Domain) -> None:
    fault_point("vm:before-forget")
    domain.undefine()
    fault_point("vm:forgotten")
    forget_console(domain)
    forget_journal(domain)


def _delete_step(path: str) -> Step:
    return Step(f"delete {path}", functools.partial(_delete, path))


def _delete(path: str) -> None:
    """The file first: while it is there its record says that it is this VM's."""
    remove(path)
    fault_point("vm:disk-removed")
    tidy_sidecars(path)


def _files(request: VmRequest, domain: Domain | None, connection: Connection) -> dict[str, Record | None]:
    """Files that were made for the VM: in its chains down to the first with a record of ours, and left-overs."""
    found: dict[str, Record | None] = {}
    attached = Attached(domain)
    for disk in attached.disks:
        if disk.path:
            found.update(_own_layers(attached.layers(disk), request.name))
    for path in snapshot_files(domain) if domain else ():
        found.setdefault(real_path(path), read_record(path))
    folders = [default_folder(connection), *request.search_paths]
    for path in _candidates(request, folders):
        record = read_record(path)
        if _made_for(record, request.name):
            found.setdefault(real_path(path), record)
    return found


def _candidates(request: VmRequest, folders: Sequence[str]) -> Iterator[str]:
    """Declared paths, and names that this module gives."""
    yield from (disk.path for disk in request.disks or () if disk.path and os.path.exists(disk.path))
    for folder in folders:
        yield from sorted(glob.glob(os.path.join(glob.escape(folder), f"{request.name}-*")))


def _own_layers(layers: Sequence[str], name: str) -> dict[str, Record | None]:
    """Layers from the active one (a snapshot's, say) down to the last that was made for the VM; nothing without such."""
    records = {path: read_record(path) if os.path.exists(path) else None for path in layers}
    made = [number for number, path in enumerate(layers) if _made_for(records[path], name)]
    return {path: records[path] for path in layers[: made[-1] + 1]} if made else {}


def _made_for(record: Record | None, name: str) -> bool:
    return record is not None and record.options.get("vm") == name


def _require_free(path: str, request: VmRequest, tools: Tools, *, gone: Sequence[str]) -> None:
    """Raise InUse when another than this VM uses the file."""
    others: list[User] = [
        user
        for user in users_of(path, tools, search_paths=request.search_paths, gone=gone)
        if not (user.kind == DOMAIN and user.name == request.name)
    ]
    refuse(path, others)
