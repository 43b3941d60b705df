# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion of a disk image: compare source, destination and record; convert by a job when they differ."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .._errors import Conflict, ImageOpsError
from .._files import is_read_only, partial_path, real_path, require_space, require_writable_folder
from .._jobs.launch import Job
from .._plan import KNOWN_AFTER, Plan, Step
from .._qemu.image import QemuImg
from .._qemu.image_locks import holders
from .._qemu.options import require_version, takes_full_space, virtual_size
from .._transfer.url import is_url
from .claims import claim_copy
from .convert_device import open_exclusively, require_room
from .convert_found import facts_of, find
from .convert_request import REFLINK, ConvertRequest, read_request
from .convert_verdict import CONVERT, REFRESH, judge, refresh_record, require_replaceable
from .extent_files import is_untidy
from .long_work import job_step, job_writing, join_job
from .operation import Operation, Tools
from .ownership import check_ownership, ownership_of
from .ownership_change import plan_ownership


def plan_convert(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one conversion; raises what speaks against it."""
    if _is_remote(params):
        from .fetch import plan_fetch

        return plan_fetch(params, tools)
    request = read_request(params, tools)
    claim_copy(request.source.files, request.dest, tools, option="dest")
    owned = _owned(request)
    after = {**_after(request), **owned}
    before = _before(request)
    if request.foreseen:
        return _provisional(request, before, after, tools)
    _require_idle_source(request)
    verdict = judge(request, QemuImg(tools.commands)) if before else CONVERT
    if verdict == CONVERT:
        return _conversion(request, before, after, tools)
    upkeep = (Step("bring the record up to date", lambda: refresh_record(request, tools.version)),)
    due = verdict == REFRESH and not (is_read_only(request.dest) and not request.on_device)
    left = _tidying(request.dest)
    return _unchanged(request, before, (*(upkeep if due else ()), *left), tools)


def _tidying(dest: str) -> tuple[Step, ...]:
    """Most tasks find nothing to tidy, and don't pay for what could."""
    if not is_untidy(dest):
        return ()
    from .extent_use import tidying

    return tidying(dest)


def _owned(request: ConvertRequest) -> dict[str, Any]:
    """Owner, group and mode that the new image gets; a device keeps its own."""
    params = request.params
    if request.on_device:
        return ownership_of(request.dest)
    return check_ownership(owner=params["owner"], group=params["group"], mode=params["mode"], path=request.dest)


def _provisional(request: ConvertRequest, before: dict[str, Any], after: dict[str, Any], tools: Tools) -> Plan:
    """What can be said before an earlier item has made the source: all but the comparison with it."""
    _require_room(request, after)
    if before:
        require_replaceable(request)
    tools.forecast[request.dest] = {
        **after,
        "virtual_size": after["virtual_size"] if request.source.virtual_size else 0,
    }
    return Plan(request.dest, before, after, lambda: after, steps=(Step(_title(request), _never),), provisional=True)


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
        "virtual_size": _size(request),
        "allocated_size": KNOWN_AFTER,
        "options": request.declared,
        **request.proven,
    }


def _size(request: ConvertRequest) -> int | str:
    """Bytes of the new image; a source that an earlier item downloads has a size that nobody knows yet."""
    if request.foreseen and not request.source.virtual_size:
        return KNOWN_AFTER
    return virtual_size(request.format, request.source.virtual_size, request.options, option="src")


def _before(request: ConvertRequest) -> dict[str, Any]:
    """What `dest` is now; nothing when it isn't there."""
    found = facts_of(request.dest, request.format)
    if not found:
        return {}
    record = find(request.dest).record
    made_from = record.source.get("path", "") if record else ""
    return {**found, "src": made_from, "src_format": request.source.format if made_from == request.source.path else ""}


def _require_idle_source(request: ConvertRequest) -> None:
    found = holders(request.source.path)
    if found is not None and found.writing:
        raise Conflict(
            f"src: {request.source.path} is {found.sentence()}, so a copy would be torn; stop the VM or take another source."
        )


def _unchanged(request: ConvertRequest, before: dict[str, Any], upkeep: tuple[Step, ...], tools: Tools) -> Plan:
    """Nothing to convert; owner, group and mode may still differ."""
    params = request.params
    steps, warnings, owned = plan_ownership(
        request.dest, owner=params["owner"], group=params["group"], mode=params["mode"], tools=tools
    )
    told = {"src": request.source.path, "src_format": request.source.format, "options": request.declared}
    found = {**before, **told, **request.proven}
    return Plan(
        request.dest,
        found,
        {**found, **owned},
        lambda: {**found, **ownership_of(request.dest)},
        steps=steps,
        upkeep=upkeep,
        warnings=warnings,
    )


def _conversion(request: ConvertRequest, before: dict[str, Any], after: dict[str, Any], tools: Tools) -> Plan:
    """The plan that converts by a job."""
    require_version(request.options, QemuImg(tools.commands).version)
    _require_room(request, after)
    if before or request.on_device:
        from .extent_use import extent_users
        from .usage import refuse, users_of

        folders = request.params["search_paths"] or ()
        users = users_of(request.dest, tools, search_paths=folders)
        refuse(request.dest, users + extent_users(request.dest, tools, search_paths=folders))
    job = request.job(tools.version)
    _require_shareable(request, job)
    info: dict[str, Any] = {}

    def observe() -> dict[str, Any]:
        return {**after, **_before(request)}

    leftover = os.path.exists(partial_path(request.dest)) or is_untidy(request.dest)
    title = _title(request) + (" (an unfinished one is thrown away)" if leftover else "")
    step = job_step(title, job, tools, params=request.params, info=info)
    tools.forecast[request.dest] = after
    from .convert_now import at_once

    steps = (at_once(request, job, step, tools, info),)
    return Plan(request.dest, before, after, observe, steps=steps, info=info)


def _require_shareable(request: ConvertRequest, job: Job) -> None:
    """Raise Unsupported where blocks shall be shared and formats or options differ; the file system tells only when it is asked."""
    if request.params["method"] != REFLINK:
        return
    from .convert_copy import suits, unshared

    if not suits(job.params, request.source):
        raise unshared(request.dest, request.source)


def _require_room(request: ConvertRequest, after: dict[str, Any]) -> None:
    """Raise Conflict, InUse or NoSpace when the image can't be written where it shall be."""
    known = isinstance(after["virtual_size"], int)
    if request.on_device:
        if known:
            require_room(request.dest, after["virtual_size"])
        os.close(open_exclusively(request.dest))
        return
    require_writable_folder(request.dest, option="dest")
    if known and takes_full_space(request.options):
        require_space(request.dest, after["virtual_size"], what=f"dest: {request.dest}")


def _is_remote(params: dict[str, Any]) -> bool:
    """Whether the source of an item is a URL."""
    return bool(params["src"]) and is_url(params["src"])


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The destination's name; the job itself holds the lock of what it writes."""
    return [real_path(params["dest"])] if params["dest"] else []


def join_running(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that does just this conversion already."""
    if _is_remote(params):
        from .fetch import join_fetch

        return join_fetch(params, tools)
    try:
        request = read_request(params, tools)
    except ImageOpsError:
        return False
    return join_job(request.job(tools.version), tools, params=params)


OPERATION = Operation(
    plan=plan_convert, result="disks", locks=locks, join=join_running, job_id=job_writing("convert", "dest"), parallel=2
)
