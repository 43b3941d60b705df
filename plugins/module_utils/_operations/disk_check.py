# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check an image, repair it on a copy, compare it, compute its checksum."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from functools import partial
from typing import Any

from .._errors import InUse, MissingLibrary, Unsupported
from .._files import fingerprint, real_path, require_writable_folder
from .._jobs.launch import Job
from .._jobs.state import DONE, digest, job_id, read_state
from .._plan import KNOWN_AFTER, Plan, Step
from .._qemu.image import Image
from .._qemu.image_check import Report, check_image
from .._qemu.image_locks import holders
from .._records import read_record, untouched
from .claims import claim
from .disk_check_request import READ, CheckRequest, question_of, read_request
from .disk_check_result import judged, told
from .long_work import bandwidth_of, job_step
from .operation import Operation, Tools
from .usage import OVERLAY, domains_using, refuse, users_of

_REPAIR = "repair"
_REPAIRABLE = ("qcow2", "qed")


def plan_check(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan for one image; raises what speaks against looking at it, and in the end what was found wrong."""
    request = read_request(params)
    _claim(request, tools)
    _require_still(request, tools)
    report = check_image(Image(request.image.path, request.image.format))
    if params["repair"] != "none":
        return _repair(request, report, tools)
    info: dict[str, Any] = {}
    known = _known(request)
    upkeep: tuple[Step, ...] = ()
    if request.reads_content and known is None:
        if request.needs_nbd:
            from .._transfer.nbd import library

            library()
        title = f"read the content of {request.image.path}"
        upkeep = (job_step(title, request.read_job(), tools, params=params, info=info),)

    def observe() -> dict[str, Any]:
        found = known if known is not None else info["job"]
        return judged(request, report, found)

    def foretell() -> dict[str, Any]:
        if known is None and request.reads_content:
            return judged(request, report, {"first_difference": KNOWN_AFTER, "checksum": KNOWN_AFTER})
        return judged(request, report, known or {})

    facts = told(request, report)
    return Plan(request.image.path, facts, facts, observe, upkeep=upkeep, info=info, foretell=foretell)


def _known(request: CheckRequest) -> dict[str, Any] | None:
    """What was found in the content before, when no file was written to since; None when it has to be read."""
    if not request.reads_content:
        return {}
    telling = request.image.telling and (request.other is None or request.other.telling)
    if request.params["reread"] or not telling:
        return None
    job = request.read_job()
    state = read_state(job.id)
    if state is not None and state.status == DONE and state.request == digest(job.params):
        return state.result
    record = read_record(request.image.path)
    algorithm, _colon, value = (record.digest if record else "").partition(":")
    alone = request.other is None and len(request.image.files) == 1
    if alone and value and algorithm == request.params["checksum"] and untouched(request.image.path, record):
        return {"checksum": value}
    return None


def _claim(request: CheckRequest, tools: Tools) -> None:
    """Items look at what they find; so an image that one repairs belongs to no other."""
    own, *below = request.image.files
    claim([own], tools, option="path", changes=request.params["repair"] != "none")
    claim(below, tools, option="path", changes=False)
    claim(request.other.files if request.other else (), tools, option="compare_to", changes=False)


def _require_still(request: CheckRequest, tools: Tools) -> None:
    """Raise InUse when somebody writes to what is read: then whatever is found means nothing."""
    files = [*request.image.files, *(request.other.files if request.other else ())]
    for path in files:
        found = holders(path)
        if found is not None and found.writing:
            raise InUse(
                f"{path} is {found.sentence()}, so it can't be checked; stop what uses it, then run the task again."
            )
    # Without libvirt's library the locks of QEMU's own processes must do.
    with contextlib.suppress(MissingLibrary):
        users = domains_using(request.image.path, tools)
        refuse(request.image.path, [user for user in users if user.running and user.top])


def _repair(request: CheckRequest, report: Report, tools: Tools) -> Plan:
    """The plan that repairs, when there is something that the task may repair."""
    from .disk_check_repair_job import has_unsettled_backup

    path, params = request.image.path, request.params
    info: dict[str, Any] = {}
    steps: tuple[Step, ...] = ()
    if _wanted(request, report):
        job = _job(request, tools)
        title = f"repair {path} ({report.corruptions} corruptions, {report.errors} errors, {report.leaks} leaks)"
        steps = (job_step(title, job, tools, params=params, info=info),)
    # A repair that was killed after the new image had its name has still to name the old one.
    leftover = Step("name the original that an interrupted repair kept", partial(_settle, path))
    upkeep = (leftover,) if has_unsettled_backup(path) else ()
    before = told(request, report)
    after = {**before, "corruptions": 0, "errors": 0, "leaks": 0, "healthy": True, "messages": []} if steps else before

    def observe() -> dict[str, Any]:
        now = read_request(params)
        found = judged(now, check_image(Image(path, now.image.format)), {})
        return {**found, "backup_file": info.get("job", {}).get("backup_file")}

    def foretell() -> dict[str, Any]:
        return {**after, "backup_file": None} if steps else {**judged(request, report, {}), "backup_file": None}

    return Plan(path, before, after, observe, steps=steps, upkeep=upkeep, info=info, foretell=foretell)


def _settle(path: str) -> None:
    from .disk_check_repair_job import settle_backup

    settle_backup(path)


def _wanted(request: CheckRequest, report: Report) -> bool:
    """Whether there is something to repair that `repair` names; damage is left alone by 'leaks', and told."""
    broken = report.damaged or bool(request.damage)
    if request.params["repair"] == "leaks":
        wanted = bool(report.leaks) and not broken
    else:
        wanted = broken or bool(report.leaks) or (request.flagged and report.checkable)
    if wanted and request.image.format not in _REPAIRABLE:
        raise Unsupported(
            f"path: QEMU can't repair {request.image.format} images; convert {request.image.path} to another one with "
            f"imageops.fleet.disk_convert."
        )
    return wanted


def _job(request: CheckRequest, tools: Tools) -> Job:
    params, path = request.params, request.image.path
    if not os.path.isfile(path):
        raise Unsupported(f"path: {path} is a block device, and only regular files are repaired here.")
    if any(link.facts.encryption for link in request.image.chain):
        raise Unsupported(f"path: {path} is encrypted, and repairing such images isn't supported here.")
    _require_free(request, tools)
    require_writable_folder(path, option="path")
    from .whole_copy import require_room

    require_room(path)
    found = fingerprint(path)
    backup = params["backup"] if params["backup"] is not None else params["repair"] == "all"
    return Job(
        _REPAIR,
        path,
        {
            "path": path,
            "format": request.image.format,
            "backing": sorted(request.image.files[1:]),
            "before": found.as_dict() if found else {},
            "repair": params["repair"],
            "backup": backup,
            "bandwidth": bandwidth_of(params),
            "search_paths": params["search_paths"] or [],
        },
        _repair_entry,
    )


def _repair_entry() -> str:
    from . import disk_check_repair_job

    return disk_check_repair_job.__name__


def _require_free(request: CheckRequest, tools: Tools) -> None:
    """Raise InUse for users that a repair would disturb: running ones, and what rests on content that may change."""
    users = users_of(request.image.path, tools, search_paths=request.params["search_paths"] or ())
    deep = request.params["repair"] == "all"
    refuse(
        request.image.path,
        [user for user in users if user.running or (deep and (user.kind == OVERLAY or not user.top))],
    )


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The name of an image that may be repaired; reading needs no lock but the job's."""
    return [real_path(params["path"])] if params["path"] and params["repair"] != "none" else []


def job_of(params: dict[str, Any], tools: Tools) -> str | None:
    """The id of the job that reads or repairs the image; None when there is nothing to do but look."""
    repairs, question = params["repair"] != "none", question_of(params)
    if not params["path"] or not (repairs or question):
        return None
    return job_id(_REPAIR if repairs else READ, real_path(params["path"]), question)


OPERATION = Operation(plan=plan_check, result="disks", locks=locks, job_id=job_of, parallel=2)
