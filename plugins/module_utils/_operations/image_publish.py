# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Publishing an image: look at what the tag names and at what it was made from; the reading and sending is a job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._catalog.reference import DIRECTORY, Reference
from .._errors import ImageOpsError
from .._files import require_folder
from .._jobs.state import job_id
from .._plan import KNOWN_AFTER, Plan, Step
from .._registry.interface import Store
from .._registry.whole import is_whole
from .claims import claim_name
from .image_publish_journal import PublishJournal
from .image_publish_note import PublishNote, read_note, tells
from .image_publish_request import (
    CONTAINERDISK,
    KIND,
    PublishRequest,
    SourceDisk,
    SourceVm,
    check_params,
    disk_of_file,
    named_image,
    read_request,
)
from .image_publish_tags import give_names, missing_names, require_free_names
from .image_stores import image_of, require_writable
from .long_work import job_step, joining
from .operation import Operation, Tools


def plan_publish(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one image; raises what speaks against it."""
    request = _request(params, tools)
    _claim(request, tools)
    store = image_of(params, tools)[1]
    require_writable(store, option="image")
    if request.reference.home == DIRECTORY:
        require_folder(request.reference.place, option="image")
    if request.layout != CONTAINERDISK:
        from .._transfer.zstd import library

        library()
    tags = dict(store.tags())
    current, note = tags.get(request.reference.tag, ""), read_note(request)
    if note is not None and tells(note, request, current) and _is_whole(request, store, current):
        return _published(request, store, tags, note, params)
    require_free_names(request, store, tags)
    return _publication(request, current, params, tools)


def _request(params: dict[str, Any], tools: Tools) -> PublishRequest:
    check_params(params)
    reference = named_image(params)
    disks, vm = _sources(params, tools)
    return read_request(params, reference, disks, vm)


def _sources(params: dict[str, Any], tools: Tools) -> tuple[list[SourceDisk], SourceVm | None]:
    if params["vm"]:
        from .image_publish_vm import source_of_vm

        return source_of_vm(params, tools)
    return [disk_of_file(given, number) for number, given in enumerate(params["disks"])], None


def _claim(request: PublishRequest, tools: Tools) -> None:
    """No name may be given twice, since items are done side by side."""
    named = {"image": [request.reference.tag], "tags": request.tags, "aliases": request.aliases}
    for option, tags in named.items():
        for tag in tags:
            claim_name(str(request.reference.at(tag=tag)), tools, option=option)


def _is_whole(request: PublishRequest, store: Store, digest: str) -> bool:
    """Whether the image is there with all that it needs; asking a registry for each blob would take long, and it minds them itself."""
    return request.reference.home != DIRECTORY or is_whole(store, digest)


def _facts(request: PublishRequest, digest: str) -> dict[str, Any]:
    return {
        "image": request.shown,
        "digest": digest,
        "tags": [request.reference.tag, *request.tags],
        "aliases": request.aliases,
    }


def _published(
    request: PublishRequest, store: Store, tags: dict[str, str], note: PublishNote, params: dict[str, Any]
) -> Plan:
    """The image is there; other names may be missing."""
    missing = missing_names(request, tags, note.digest)
    if missing:
        require_free_names(request, store, tags)
    after = {**note.facts, **_facts(request, note.digest)}
    before = {**after, "tags": [tag for tag in after["tags"] if tag not in missing]}

    def name() -> None:
        with store.publishing():
            give_names(request, store, store.manifest(note.digest)[1], note.digest, missing, seen=tags)

    steps = (Step(f"give {request.shown} the names {', '.join(missing)}", name),) if missing else ()
    return Plan(request.shown, before, after, lambda: after, steps=steps, upkeep=_leftover(request))


def _leftover(request: PublishRequest) -> tuple[Step, ...]:
    """The end of a run that was killed when all was published."""
    journal = PublishJournal(request.shown)
    return (Step("forget what an interrupted publish sent", journal.forget),) if journal.there else ()


def _publication(request: PublishRequest, current: str, params: dict[str, Any], tools: Tools) -> Plan:
    """The plan that publishes by a job, which finds out whether the content is another one."""
    info: dict[str, Any] = {}
    title = f"publish {request.shown} from {_source(request)}" + (f" (now {current})" if current else "")
    step = job_step(title, request.job(tools.version), tools, params=params, info=info)
    before = _facts(request, current) if current else {}

    def observe() -> dict[str, Any]:
        note = read_note(request)
        return {**(note.facts if note else {}), **_facts(request, note.digest if note else "")}

    warnings = tuple(request.vm.warnings) if request.vm else ()
    after = _facts(request, KNOWN_AFTER)
    return Plan(request.shown, before, after, observe, steps=(step,), warnings=warnings, info=info)


def _source(request: PublishRequest) -> str:
    if request.vm:
        return f"the {'running' if request.vm.running else 'stopped'} VM {request.vm.name}"
    return ", ".join(disk.path for disk in request.disks)


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The reference, and the VM; the job itself holds the lock of what it writes."""
    vm = [f"domain:{params['vm']}"] if params["vm"] else []
    return [f"image:{named_image(params)}", *vm]


def job_of(params: dict[str, Any], tools: Tools) -> str | None:
    """The id of the job that publishes under this reference."""
    try:
        reference: Reference = named_image(params)
    except ImageOpsError:
        return None
    return job_id(KIND, str(reference))


OPERATION = Operation(
    plan=plan_publish, result="images", locks=locks, join=joining(_request), job_id=job_of, parallel=2
)
