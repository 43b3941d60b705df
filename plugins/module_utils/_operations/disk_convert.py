# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of a disk image: compare source, destination and record; convert by a job when they differ."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .._errors import Conflict, ImageOpsError, InvalidOption
from .._files import fingerprint, partial_path, real_path, require_space
from .._formats.chain import inspect_chain
from .._jobs.launch import finish, join, start, write_lock
from .._plan import KNOWN_AFTER, Plan, Step, Wait
from .._qemu.image import Image, QemuImg
from .._qemu.image_locks import holders
from .._qemu.options import takes_full_space, virtual_size
from .._records import Record, read_record, untouched, write_record
from .convert_request import ConvertRequest, read_request
from .operation import Operation, Tools
from .ownership import check_ownership, ownership_of, plan_ownership
from .usage import require_unused


def plan_convert(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one conversion; raises what speaks against it."""
    request = read_request(params, tools)
    check_ownership(owner=params["owner"], group=params["group"], mode=params["mode"])
    after = _after(request)
    tools.forecast[request.dest] = after
    if not request.source.files:
        return Plan(request.dest, {}, after, lambda: after, steps=(Step(_title(request), _never),), provisional=True)
    _require_idle_source(request)
    before = _before(request)
    refresh: tuple[Wait, ...] = ()
    if before and not params["force"]:
        verdict = _judge(request, QemuImg(tools.commands))
        if verdict != "convert":
            refresh = (Wait("bring the record up to date", lambda: _refresh(request, tools)),) if verdict == "same" else ()
            return _unchanged(request, before, refresh, tools)
    elif before and _is_made(request, read_record(request.dest)):
        return _unchanged(request, before, refresh, tools)
    return _conversion(request, before, after, tools)


def _never() -> None:
    raise AssertionError("a provisional plan is made again before it is applied")


def _title(request: ConvertRequest) -> str:
    return f"convert {request.source.path} ({request.source.format}) to {request.dest} ({request.format})"


def _after(request: ConvertRequest) -> dict[str, Any]:
    """What the conversion makes, as the result tells it."""
    return {
        "src": request.source.path,
        "src_format": request.source.format,
        "dest": request.dest,
        "format": request.format,
        "virtual_size": virtual_size(request.format, request.source.virtual_size, request.options),
        "allocated_size": KNOWN_AFTER,
        "options": request.declared,
    }


def _before(request: ConvertRequest) -> dict[str, Any]:
    """What `dest` is now; nothing when it isn't there."""
    if fingerprint(request.dest) is None:
        return {}
    facts = inspect_chain(request.dest)[0].facts
    record = read_record(request.dest)
    made_from = record.source.get("path", "") if record else ""
    return {
        "src": made_from,
        "src_format": request.source.format if made_from == request.source.path else "",
        "dest": request.dest,
        "format": facts.format,
        "virtual_size": facts.virtual_size,
        "allocated_size": os.stat(request.dest).st_blocks * 512,
        "options": record.options if record else {},
    }


def _require_idle_source(request: ConvertRequest) -> None:
    found = holders(request.source.path)
    if found is not None and found.writing:
        raise Conflict(
            f"src: {request.source.path} is {found.sentence()}, so a copy would be torn; stop the VM or take another source."
        )


def _matches(request: ConvertRequest, record: Any) -> bool:
    """Whether the record tells of just this conversion."""
    return (
        record is not None
        and _same_kind(request, record)
        and record.source == {"path": request.source.path, "files": request.source.identity()}
    )


def _is_made(request: ConvertRequest, record: Any) -> bool:
    """Whether the record tells of just this conversion, and nothing was written since."""
    return _matches(request, record) and untouched(request.dest, record)


def _same_kind(request: ConvertRequest, record: Record) -> bool:
    """Whether the record tells of a conversion to the same format with the same options."""
    return (record.operation, record.format, record.options) == ("convert", request.format, request.declared)


def _judge(request: ConvertRequest, engine: QemuImg) -> str:
    """What a destination that is there means: `nothing` to do, `same` content, or `convert` again.

    Raises Conflict for a file that isn't ours, or that was written to since, and would be lost.
    """
    record = read_record(request.dest)
    clean = untouched(request.dest, record)
    deep = request.params["verify"] == "deep"
    if _matches(request, record) and not deep:
        return "nothing"
    if _matches(request, record) and clean and deep:
        return "nothing" if _equal(request, engine) else "convert"
    if record is not None and record.operation == "convert" and clean:
        return "same" if _same_kind(request, record) and _equal(request, engine) else "convert"
    if deep and _equal(request, engine):
        return "same"
    why = "was written to since it was converted" if record is not None else "was not made by imageops.fleet (it has no record)"
    raise Conflict(
        f"dest: {request.dest} exists and {why}, so it is not replaced; give another dest, 'force: true' to replace it, or "
        f"'verify: deep' to keep it when its content equals the source's."
    )


def _equal(request: ConvertRequest, engine: QemuImg) -> bool:
    """Whether `dest` has the wanted format and holds what the source holds."""
    facts = inspect_chain(request.dest)[0].facts
    wanted = virtual_size(request.format, request.source.virtual_size, request.options)
    if (facts.format, facts.virtual_size, facts.backing) != (request.format, wanted, None):
        return False
    return engine.compare(Image(request.source.path, request.source.format), Image(request.dest, request.format))


def _refresh(request: ConvertRequest, tools: Tools) -> dict[str, Any]:
    """Let the record name the source as it is now; the image's bytes stay."""
    record = read_record(request.dest) or Record(
        operation="convert", format=request.format, virtual_size=request.source.virtual_size, tool=f"imageops.fleet {tools.version}"
    )
    source = {"path": request.source.path, "files": request.source.identity()}
    write_record(request.dest, replace(record, source=source, options=request.declared))
    return {}


def _unchanged(request: ConvertRequest, before: dict[str, Any], refresh: tuple[Wait, ...], tools: Tools) -> Plan:
    """Nothing to convert; owner, group and mode may still differ."""
    params = request.params
    steps, warnings, owned = plan_ownership(
        request.dest, owner=params["owner"], group=params["group"], mode=params["mode"], tools=tools
    )
    found = {**before, "src": request.source.path, "src_format": request.source.format, "options": request.declared}
    return Plan(
        request.dest,
        {**found, **ownership_of(request.dest)},
        {**found, **owned},
        lambda: {**found, **ownership_of(request.dest)},
        steps=steps,
        waits=refresh,
        warnings=warnings,
    )


def _conversion(request: ConvertRequest, before: dict[str, Any], after: dict[str, Any], tools: Tools) -> Plan:
    """The plan that converts by a job."""
    if before:
        require_unused(request.dest, tools, search_paths=request.params["search_paths"] or ())
    if takes_full_space(request.options):
        require_space(request.dest, after["virtual_size"], what=f"dest: {request.dest}")
    job = request.job(tools.version)
    info: dict[str, Any] = {}
    began = tools.clock.now()

    def run() -> None:
        start(job, tools.clock, tools.commands)
        state = finish(job, tools.clock, timeout=request.params["timeout"] or None)
        seconds = round(tools.clock.now() - began, 3)
        info["job"] = {"id": state.id, "launcher": state.launcher, "seconds": seconds, **state.result}

    def observe() -> dict[str, Any]:
        return {**after, **_before(request), **ownership_of(request.dest)}

    leftover = os.path.exists(partial_path(request.dest))
    title = _title(request) + (" (an unfinished one is thrown away)" if leftover else "")
    expected = {**after, **expected_ownership(request)}
    return Plan(request.dest, before, expected, observe, steps=(Step(title, run),), info=info)


def expected_ownership(request: ConvertRequest) -> dict[str, Any]:
    """Owner, group and mode that a new image gets."""
    return check_ownership(
        owner=request.params["owner"], group=request.params["group"], mode=request.params["mode"]
    )


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The destination's name; the job itself holds the lock of what it writes."""
    return [real_path(params["dest"])] if params["dest"] else []


def join_running(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that does just this conversion already."""
    try:
        request = read_request(params, tools)
    except ImageOpsError:
        return False
    if not request.source.files:
        return False
    return join(request.job(tools.version), tools.clock, timeout=params["timeout"] or None)


OPERATION = Operation(plan=plan_convert, result="disks", locks=locks, join=join_running, parallel=2)
