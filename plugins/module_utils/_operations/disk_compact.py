# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that gives back what it doesn't need: look at its record first, then at the image; the work is a job."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from .._errors import InUse, Unsupported
from .._files import real_path, require_space, require_writable_folder
from .._formats.chain import inspect_chain
from .._jobs.launch import Job
from .._plan import KNOWN_AFTER, Plan
from .claims import claim
from .disk_compact_request import ALWAYS, NEVER, CompactRequest, check_params, compacted, hidden_files, read_request
from .long_work import job_step, job_writing, join_job
from .operation import Operation, Tools

_KIND = "compact"


def plan_compact(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one compaction; raises what speaks against it."""
    check_params(params)
    claim([real_path(params["path"])], tools, option="path", changes=True)
    record = compacted(params)
    left = [path for path in hidden_files(real_path(params["path"])) if os.path.lexists(path)]
    if record is not None and not left:
        facts = _facts(real_path(params["path"]), record.format, record.virtual_size)
        return Plan(facts["path"], facts, facts, lambda: facts)
    request = read_request(params)
    _require_free(request, params, tools)
    require_writable_folder(request.path, option="path")
    _require_engine(request)
    _require_room(request)
    info: dict[str, Any] = {}
    before = _facts(request.path, request.format, request.old_size)
    after = {**before, "virtual_size": request.size, "allocated_size": KNOWN_AFTER}
    title = f"compact {request.path}" + (f" and grow it to {request.size} bytes" if request.grows else "")
    step = job_step(title, _job(request, params, tools), tools, params=params, info=info)
    return Plan(request.path, before, after, lambda: _observed(request.path), steps=(step,), info=info)


def _facts(path: str, format: str, size: int) -> dict[str, Any]:
    return {
        "path": path,
        "format": format,
        "virtual_size": size,
        "allocated_size": os.stat(path).st_blocks * 512,
    }


def _observed(path: str) -> dict[str, Any]:
    facts = inspect_chain(path)[0].facts
    return _facts(path, facts.format, facts.virtual_size)


def _require_engine(request: CompactRequest) -> None:
    """Say while planning that libguestfs is missing, when the task can't do without."""
    from .._qemu.guestfs import missing_programs

    lacking = missing_programs() if request.discard == ALWAYS else ""
    if lacking:
        raise Unsupported(f"discard: libguestfs can't be used on this host: {lacking}.")


def _require_room(request: CompactRequest) -> None:
    """The new image takes no more than the old one; a copy to discard in takes as much again, unless it shares blocks."""
    from .._qemu.guestfs import missing_programs
    from .whole_copy import shares_blocks

    copies = 1 + (request.discard != NEVER and not missing_programs() and not shares_blocks(request.path))
    require_space(request.path, copies * os.stat(request.path).st_blocks * 512, what=f"Compacting {request.path}")


def _require_free(request: CompactRequest, params: dict[str, Any], tools: Tools) -> None:
    """Raise InUse for what a new file under the image's name would disturb; a stopped VM that just has it as a disk is not."""
    from .usage import DOMAIN, User, keeps_snapshots, users_of

    users = users_of(request.path, tools, search_paths=params["search_paths"] or ())
    told = [user for user in users if user.running or user.kind != DOMAIN or not user.top]
    told += [
        User(DOMAIN, user.name, f"libvirt keeps snapshots of the domain {user.name}, which has it")
        for user in users
        if user not in told and keeps_snapshots(user.name, tools)
    ]
    if told:
        raise InUse(
            f"path: {request.path} is in use and was left as it is: {'; '.join(user.sentence for user in told)}.",
            users=[{"kind": user.kind, "name": user.name} for user in told],
        )


def job_of_request(request: CompactRequest, version: str, *, search_paths: Sequence[str]) -> Job:
    """The job that does it; equal requests give equal jobs."""
    params = {"request": asdict(request), "search_paths": list(search_paths), "tool": f"imageops.fleet {version}"}
    return Job(_KIND, request.path, params, _entry)


def _job(request: CompactRequest, params: dict[str, Any], tools: Tools) -> Job:
    return job_of_request(request, tools.version, search_paths=params["search_paths"] or ())


def _entry() -> str:
    from . import disk_compact_job

    return disk_compact_job.__name__


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The image's name; the job holds the lock of what it writes."""
    return [real_path(params["path"])] if params["path"] else []


def join_running(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that does just this already."""
    check_params(params)
    if compacted(params) is not None or not os.path.exists(real_path(params["path"])):
        return False
    return join_job(_job(read_request(params), params, tools), tools, params=params)


OPERATION = Operation(
    plan=plan_compact, result="disks", locks=locks, join=join_running, job_id=job_writing(_KIND, "path"), parallel=2
)
