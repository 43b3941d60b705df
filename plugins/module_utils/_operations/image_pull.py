# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image of a catalog in files of this host: what is there by the record, else the job that brings what is missing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .._errors import Unsupported
from .._files import real_path, remove, require_space, require_writable_folder
from .._jobs.attended import attended
from .._plan import KNOWN_AFTER, Plan, Step
from .claims import claim_copy
from .held_images import is_noted
from .image_pull_found import Found, facts_of, find, holds, require_replaceable
from .image_pull_items import expand
from .image_pull_log import PullLog
from .image_pull_record import is_known_as_signed, record_of
from .image_pull_request import DEEP, KIND, MODE, PullRequest, read_request
from .image_pull_signed import signature_mark
from .image_pull_use import require_unused
from .image_pull_variables import has_variables
from .long_work import job_step, job_writing, joining
from .operation import Operation, Tools
from .ownership import check_ownership, ownership_of
from .ownership_change import plan_ownership

if TYPE_CHECKING:
    from .._registry.interface import Store
    from .image_pull_look import Look


def plan_pull(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one file; raises what speaks against it."""
    request = read_request(params)
    again = claim_copy((), request.dest, tools, option="dest", says=_says(request))
    plan = _plan(request, params, tools)
    first = tools.forecast.setdefault("pulled", {}).setdefault(request.dest, plan.after)
    # Two tags may name one image: what the earlier item pulls is seen when it is done.
    return (
        replace(plan, before=first, after=first, steps=(), upkeep=(), foretell=None, provisional=True)
        if again
        else plan
    )


def _says(request: PullRequest) -> str:
    """What the file will be, in so far as two items could contradict each other."""
    return repr((request.digest, request.disk, request.format, request.owner, request.group, request.mode))


def _plan(request: PullRequest, params: dict[str, Any], tools: Tools) -> Plan:
    found = find(request.dest)
    held = holds(request, found)
    complete = held and is_noted(request.dest) and has_variables(found)
    if complete and request.verify != DEEP and is_known_as_signed(request, found):
        return _unchanged(request, found, tools)
    # Most runs find what they want by the record, and don't pay for what reads catalogs.
    from .image_pull_look import Look, is_container, trusted_store

    with trusted_store(request, tools) as store:
        if is_container(request, store):
            return _container(request, found, store, params, tools)
        look = Look(request, store)
        if held and request.verify == DEEP:
            return _check(request, found, params, tools)
        if held or (found.there and not request.force and look.is_in(found)):
            noted = _image_facts(request, look.disk.name, look.disk.size, look.told_variables())
            return _unchanged(request, found, tools, upkeep=(_note(request, look, tools),), noted=noted)
        return _pull(request, found, look, params, tools)


def _container(request: PullRequest, found: Found, store: Store, params: dict[str, Any], tools: Tools) -> Plan:
    """The plan that takes the disk out of a container's image; what it is like is known when it is here."""
    if request.verify == DEEP:
        raise Unsupported(
            f"verify: {request.shown} is an image of a container, which has no digests of its blocks to compare a file with; use 'quick'."
        )
    if holds(request, found):
        return _unchanged(request, found, tools)
    if request.share:
        raise Unsupported(
            f"share: {request.shown} is an image of a container, which is not handed on; leave 'share' and 'peers' out."
        )
    from .image_pull_container import container_layers, require_layer_room

    require_replaceable(request, found)
    require_writable_folder(request.dest, option="dest")
    if found.there:
        require_unused(request, tools)
    require_layer_room(container_layers(store, request.digest), request.dest, what=request.shown)
    after = {**_after(request, request.disk or KNOWN_AFTER, KNOWN_AFTER)}
    info: dict[str, Any] = {}
    job = request.job(tools.version, entry=_container_entry)
    step = job_step(_title(request), job, tools, params=params, info=info)
    return Plan(request.dest, facts_of(request, found), after, partial(_observed, request), steps=(step,), info=info)


def _container_entry() -> str:
    from . import image_pull_container_job

    return image_pull_container_job.__name__


def _note(request: PullRequest, look: Look, tools: Tools) -> Step:
    """The step that lets the record tell what the file is found to be."""
    from .._records import write_record
    from .held_images import note_held
    from .held_variables import keep_variables

    disk, variables = look.disk, look.variables()
    signed, tool = signature_mark(request.signature), f"imageops.fleet {tools.version}"
    record = record_of(request, disk, tool=tool, signed=signed, variables=variables[0] if variables else None)

    def note() -> None:
        if variables:
            keep_variables(*variables)
        write_record(request.dest, record)
        note_held(request.dest, record, disk)

    return Step(f"note that {request.dest} is {request.shown}", note)


def _unchanged(
    request: PullRequest,
    found: Found,
    tools: Tools,
    *,
    upkeep: tuple[Step, ...] = (),
    noted: dict[str, Any] | None = None,
) -> Plan:
    """Nothing to fetch; owner, group and mode may still differ, and `upkeep` lets the record tell what is `noted`."""
    steps, warnings, owned = plan_ownership(
        request.dest, owner=request.owner, group=request.group, mode=request.mode, tools=tools
    )
    before = facts_of(request, found)
    return Plan(
        request.dest,
        before,
        {**before, **(noted or {}), **owned},
        lambda: {**facts_of(request, find(request.dest)), **ownership_of(request.dest)},
        steps=steps,
        upkeep=(*upkeep, *_leftover(request)),
        warnings=warnings,
    )


def _leftover(request: PullRequest) -> tuple[Step, ...]:
    """The end of a run that was killed when the file had its name already, or of one that is not wanted any more."""
    log = PullLog(request.dest)
    if not os.path.lexists(request.partial) and not os.path.exists(log.path):
        return ()

    def discard() -> None:
        remove(request.partial)
        log.forget()

    return (Step("remove an unfinished pull that is not needed any more", discard),)


def _after(request: PullRequest, disk: str, size: Any, variables: dict[str, Any] | None = None) -> dict[str, Any]:
    mode = MODE if request.mode is None else request.mode
    return {
        "dest": request.dest,
        **_image_facts(request, disk, size, variables),
        "allocated_size": KNOWN_AFTER,
        **check_ownership(owner=request.owner, group=request.group, mode=mode, path=request.dest),
    }


def _image_facts(request: PullRequest, disk: str, size: Any, variables: dict[str, Any] | None) -> dict[str, Any]:
    """What the file's record will tell of the image."""
    return {
        "image": request.shown,
        "digest": request.digest,
        "disk": disk,
        "format": request.format,
        "virtual_size": size,
        "variables": variables or {},
    }


def _check(request: PullRequest, found: Found, params: dict[str, Any], tools: Tools) -> Plan:
    """The plan that reads the file that is there."""
    before = facts_of(request, found)
    info: dict[str, Any] = {}
    if request.force:
        require_unused(request, tools)
    title = f"compare {request.dest} with {request.shown}"
    step = job_step(title, request.job(tools.version), tools, params=params, info=info)
    return Plan(request.dest, before, before, partial(_observed, request), steps=(step,), info=info)


def _pull(request: PullRequest, found: Found, look: Look, params: dict[str, Any], tools: Tools) -> Plan:
    """The plan that fetches what this host lacks by a job."""
    require_replaceable(request, found)
    require_writable_folder(request.dest, option="dest")
    _require_room(request, look)
    _require_seeds(request)
    if found.there:
        require_unused(request, tools)
    after = _after(request, look.disk.name, look.disk.size, look.told_variables())
    tools.forecast[request.dest] = after
    info: dict[str, Any] = {}
    step = job_step(_title(request), request.job(tools.version), tools, params=params, info=info)
    step = _sharing(request, step, tools)
    return Plan(
        request.dest,
        facts_of(request, found),
        after,
        partial(_observed, request),
        steps=(step,),
        info=info,
        foretell=lambda: {**after, "estimate": _estimate(request, tools)},
    )


def _sharing(request: PullRequest, step: Step, tools: Tools) -> Step:
    """`step`, while which this host hands on to others what it has."""
    if not request.peers or request.job(tools.version).id in (attended() or {}):
        return step

    def run() -> None:
        from .image_pull_peers import pack_folder
        from .serve import ServeRequest, server_job, start_server

        share = request.share
        packs = pack_folder(share["port"])
        server = ServeRequest(share["port"], share["address"], packs=packs, token=request.token, linger=share["linger"])
        start_server(server_job(server, tools), tools)
        step.run()

    return Step(step.title, run)


def _title(request: PullRequest) -> str:
    went_on = " (an earlier pull is gone on with)" if os.path.exists(request.partial) else ""
    return f"pull {request.shown} ({request.digest}) to {request.dest} ({request.format}){went_on}"


def _observed(request: PullRequest) -> dict[str, Any]:
    return facts_of(request, find(request.dest))


def _estimate(request: PullRequest, tools: Tools) -> dict[str, Any]:
    from .image_pull_look import Look, trusted_store

    with trusted_store(request, tools) as store:
        return Look(request, store).estimate()


def _require_room(request: PullRequest, look: Look) -> None:
    """Blocks that are shared with other images take none; how many that are is not known yet."""
    from .._catalog.segment import BLOCK_SIZE
    from .held_images import held_images
    from .whole_copy import shares_blocks

    there = os.stat(request.partial).st_blocks * 512 if os.path.exists(request.partial) else 0
    device = os.stat(os.path.dirname(request.dest)).st_dev
    near = [held.path for held in held_images() if request.held and os.stat(held.path).st_dev == device]
    if not any(map(shares_blocks, near[:1])):
        require_space(request.dest, look.disk.blocks * BLOCK_SIZE - there, what=request.shown)


def _require_seeds(request: PullRequest) -> None:
    """Raise what inspecting an image raises for a file that is to be looked into."""
    from .inspection import inspect

    for path in request.seeds:
        inspect(path, declared=None, option="seeds")


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The file's name; the job holds the lock of what it writes."""
    return [real_path(params["dest"])]


OPERATION = Operation(
    plan=plan_pull,
    result="images",
    locks=locks,
    join=joining(lambda params, tools: read_request(params)),
    job_id=job_writing(KIND, "dest"),
    parallel=2,
    expand=expand,
)
