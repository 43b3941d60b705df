# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Importing what other platforms export: compare the source with what is there, and bring its disks by a job."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .._errors import Conflict
from .._files import is_partial, partial_path, real_path, require_writable_folder
from .._plan import KNOWN_AFTER, Plan
from .._records import Record, read_record, untouched
from .claims import claim_copy
from .export_found import plain
from .export_place import tidying
from .import_facts import Imported, Written, facts_of, imported_of
from .import_package import open_package
from .import_request import KIND, PACKAGE, ImportRequest, base_of, name_of, read_request
from .long_work import job_step, job_writing, joining
from .operation import Operation, Tools
from .ownership import check_ownership, ownership_of


def plan_import(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one import; raises what speaks against it."""
    request = read_request(params)
    claim_copy([one["path"] for one in request.files], request.dest, tools, option="dest")
    owned = check_ownership(owner=params["owner"], group=params["group"], mode=params["mode"], path=request.dest)
    main, record = _found(request)
    if record is not None and _tells(record, request):
        return _unchanged(request, main, record)
    if request.drivers:
        from .import_drivers import require_programs

        require_programs()
    _require_replaceable(request, main, record, force=params["force"])
    _require_unused(request, tools)
    require_writable_folder(request.dest, option="dest")
    return _import(request, main, record, owned, params, tools)


def _found(request: ImportRequest) -> tuple[str, Record | None]:
    """The disk that carries the record of an import, and that record, if it is sound."""
    names = sorted(os.listdir(request.dest)) if os.path.isdir(request.dest) else []
    for path in (os.path.join(request.dest, name) for name in names):
        record = read_record(path) if os.path.isfile(path) and not os.path.islink(path) else None
        if record is not None and record.operation == KIND and _is_sound(request, path, record):
            return path, record
    return "", None


def _is_sound(request: ImportRequest, main: str, record: Record) -> bool:
    """Whether the record tells of the disks that are there: who may write to a disk may write its record too."""
    try:
        disks = imported_of(record.options["told"]).disks
        _renewed(request, record)
    except (KeyError, TypeError, ValueError, AttributeError):
        return False
    return [disk.name for disk in disks] == [os.path.basename(main), *(one["name"] for one in record.files)]


def _tells(record: Record, request: ImportRequest) -> bool:
    """Whether the record tells of just this import; that a VM has written to the disks since makes no difference.

    Who signed need not be asked again, but whoever asks for it first wants to know it.
    """
    known = {"told"} if request.trusted else {"told", "trusted"}
    declared = {key: value for key, value in record.options.items() if key not in known}
    return bool(declared == plain(request.declared) and record.source == plain(request.made_from))


def _require_replaceable(request: ImportRequest, main: str, record: Record | None, *, force: bool) -> None:
    """Raise Conflict unless nothing is there, or what is there is an import of ours that nobody wrote to."""
    if not request.before or not [name for name in request.before if name]:
        return
    files = {"", *([os.path.basename(main), *(one["name"] for one in record.files)] if record else [])}
    others = [name for name in request.before if name not in files and not is_partial(name)]
    if record is None or others:
        raise Conflict(
            f"dest: {request.dest} exists and was not made by an import of imageops.fleet, or holds other files too, so it is not "
            f"replaced; give another dest, or remove it."
        )
    if not untouched(main, record) and not force:
        raise Conflict(
            f"dest: the disks in {request.dest} were written to since they were imported, so they are not replaced; give another dest, or "
            f"'force: true' to replace them."
        )


def _require_unused(request: ImportRequest, tools: Tools) -> None:
    from .usage import refuse, users_of

    for name in request.before:
        if name and not is_partial(name):
            path = os.path.join(request.dest, name)
            refuse(path, users_of(path, tools, search_paths=()))


def _unchanged(request: ImportRequest, main: str, record: Record) -> Plan:
    facts = {**_renewed(request, record), **ownership_of(main)}
    return Plan(request.dest, facts, facts, lambda: facts, upkeep=tidying(request.dest))


def _renewed(request: ImportRequest, record: Record) -> dict[str, Any]:
    """What the record tells, with bus and network as they are asked for now."""
    return facts_of(request, imported_of(record.options["told"]))


def _foretold(request: ImportRequest) -> dict[str, Any]:
    """What the import will be: of a package its descriptor tells, what else there is shows when it is read."""
    if request.kind != PACKAGE:
        unknown = dict.fromkeys(("name", "disks", "machine", "vm", "left_out", "altered"), KNOWN_AFTER)
        return {"dest": request.dest, "src": request.src, **unknown}
    with open_package(request.src) as source:
        package = source.package
    name = request.name or package.machine.name or name_of(request.src)
    machine = replace(package.machine, name=name)
    disks = tuple(
        Written(f"{base_of(name)}-disk{number}.{request.format}", disk.capacity)
        for number, disk in enumerate(package.disks, 1)
    )
    proven = {"manifest": KNOWN_AFTER, "signed": KNOWN_AFTER}
    facts = facts_of(request, Imported(machine, disks, package.left_out, proven))
    # Whoever brings drivers decides how disks are attached.
    brought = ("disks", "machine", "vm", "altered") if request.drivers else ()
    return {**facts, **dict.fromkeys(brought, KNOWN_AFTER)}


def _import(
    request: ImportRequest,
    main: str,
    record: Record | None,
    owned: dict[str, Any],
    params: dict[str, Any],
    tools: Tools,
) -> Plan:
    """The plan that imports by a job."""
    info: dict[str, Any] = {}
    after = {**_foretold(request), **owned}
    before = {**_renewed(request, record), **ownership_of(main)} if record else {}
    leftover = os.path.lexists(partial_path(request.dest))
    title = f"import {request.src} to {request.dest}" + (" (an unfinished one is thrown away)" if leftover else "")
    step = job_step(title, request.job(tools.version), tools, params=params, info=info)

    def observe() -> dict[str, Any]:
        path, now = _found(request)
        return {**(_renewed(request, now) if now else {}), **(ownership_of(path) if path else {})}

    return Plan(request.dest, before, after, observe, steps=(step,), info=info)


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The destination's name; the job itself holds the lock of what it writes."""
    return [real_path(params["dest"])] if params["dest"] else []


OPERATION = Operation(
    plan=plan_import,
    result="imports",
    locks=locks,
    join=joining(lambda params, tools: read_request(params)),
    job_id=job_writing(KIND, "dest"),
    parallel=2,
)
