# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversion from a URL: what the destination's record says of it, what the server says, and the job when they differ."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._errors import ImageOpsError, TransferError
from .._files import remove, require_space, require_writable_folder
from .._plan import KNOWN_AFTER, Plan, Step
from .._records import Record
from .._transfer.checksum import Checksum
from .._transfer.journal import Journal
from .._transfer.stream import Validators
from .claims import claim_copy
from .convert_device import open_exclusively
from .convert_found import facts_of, find
from .convert_options import same_options
from .convert_verdict import require_replaceable
from .fetch_request import FetchRequest, read_fetch_request
from .fetch_source import look
from .long_work import job_step, join_job
from .operation import Tools
from .ownership import check_ownership, ownership_of
from .ownership_change import plan_ownership
from .usage import require_unused


@dataclass(frozen=True)
class _Published:
    """What is known of the published file: its checksum where one is asked for, and what the server said if it was asked."""

    checksum: Checksum | None
    said: Validators | None = None


def plan_fetch(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one conversion from a URL; raises what speaks against it."""
    request = read_fetch_request(params, tools)
    dest = request.conversion.dest
    claim_copy((), dest, tools, option="dest")
    before = _before(request)
    published = _Published(request.checksum())
    record = find(dest).record if before else None
    # With a checksum the record tells all; else the server is asked whether it still has the same.
    if before and published.checksum and _is_made(request, record, published):
        return _unchanged(request, before, tools)
    published = _Published(published.checksum, look(request.url, request.access))
    if before and _is_made(request, record, published):
        return _unchanged(request, before, tools)
    return _download(request, before, published, tools)


def join_fetch(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that does just this already."""
    try:
        request = read_fetch_request(params, tools)
    except ImageOpsError:
        return False
    return join_job(request.job(tools.version), tools, params=params)


def _is_made(request: FetchRequest, record: Record | None, published: _Published) -> bool:
    """Whether the record tells of just this: format, options, and the file as it is published now."""
    conversion = request.conversion
    if record is None or (record.operation, record.format) != ("convert", conversion.format):
        return False
    if not same_options(conversion.format, record.options, conversion.declared):
        return False
    if request.params["force"] and not find(conversion.dest).clean:
        return False
    if published.checksum is not None:
        return bool(record.source.get("checksum") == published.checksum.text)
    said, source = published.said, record.source
    if said is None or {name: source.get(name) for name in request.url.identity} != request.url.identity:
        return False
    if request.url.is_nbd:
        # An export doesn't tell whether it changed: it is read again only by force.
        return source.get("size") == said.size and not request.params["force"]
    return said.telling and {name: source.get(name) for name in said.as_dict()} == said.as_dict()


def _before(request: FetchRequest) -> dict[str, Any]:
    """What `dest` is now; nothing when it isn't there."""
    dest = request.conversion.dest
    found = facts_of(dest, request.conversion.format)
    if not found:
        return {}
    record = find(dest).record
    source = record.source if record else {}
    told = {name: str(source.get(key, "")) for name, key in (("src_format", "format"), ("checksum", "checksum"))}
    return {**found, "src": str(source.get("url", source.get("path", ""))), **told}


def _after(request: FetchRequest, published: _Published) -> dict[str, Any]:
    """What the conversion makes, as far as that is known before anything was read."""
    conversion, params = request.conversion, request.params
    owned = (
        ownership_of(conversion.dest)
        if conversion.on_device
        else check_ownership(owner=params["owner"], group=params["group"], mode=params["mode"], path=conversion.dest)
    )
    return {
        "src": request.url.shown,
        "src_format": conversion.source.format if params["src_format"] else KNOWN_AFTER,
        "dest": conversion.dest,
        "format": conversion.format,
        "virtual_size": KNOWN_AFTER,
        "allocated_size": KNOWN_AFTER,
        "options": conversion.declared,
        "checksum": published.checksum.text if published.checksum else KNOWN_AFTER,
        **owned,
    }


def _unchanged(request: FetchRequest, before: dict[str, Any], tools: Tools) -> Plan:
    """Nothing to download; owner, group and mode may still differ."""
    params, dest = request.params, request.conversion.dest
    steps, warnings, owned = plan_ownership(
        dest, owner=params["owner"], group=params["group"], mode=params["mode"], tools=tools
    )
    blind = request.url.is_nbd and request.asked is None
    said = (
        f"src: {request.url.shown} does not tell whether it changed since it was read; 'force: true' reads it again.",
    )
    return Plan(
        dest,
        before,
        {**before, **owned},
        lambda: {**before, **ownership_of(dest)},
        steps=steps,
        upkeep=_leftover(request),
        warnings=(*warnings, *(said if blind else ())),
    )


def _leftover(request: FetchRequest) -> tuple[Step, ...]:
    """The end of a run that was killed when `dest` had its name already: what it had downloaded goes."""
    journal = Journal(request.staging)
    if not os.path.lexists(request.staging) and not journal.exists:
        return ()

    def discard() -> None:
        remove(request.staging)
        journal.forget()

    return (Step("remove a download that is not needed any more", discard),)


def _download(request: FetchRequest, before: dict[str, Any], published: _Published, tools: Tools) -> Plan:
    """The plan that downloads and converts by a job."""
    conversion, after = request.conversion, _after(request, published)
    if before:
        require_replaceable(conversion, comparable=False)
    _require_room(request, published)
    if before or conversion.on_device:
        require_unused(conversion.dest, tools, search_paths=request.params["search_paths"] or ())
    job = request.job(tools.version)
    info: dict[str, Any] = {}
    step = job_step(_title(request), job, tools, params=request.params, info=info)
    # How large it will be is known to nobody yet.
    tools.forecast[conversion.dest] = {**after, "virtual_size": 0}
    return Plan(
        conversion.dest,
        before,
        after,
        lambda: {**after, **_before(request)},
        steps=(step,),
        warnings=request.warnings,
        info=info,
    )


def _title(request: FetchRequest) -> str:
    went_on = " (an earlier download is gone on with)" if os.path.exists(request.staging) else ""
    return f"download {request.url.shown} and make {request.conversion.dest} ({request.conversion.format}){went_on}"


def _require_room(request: FetchRequest, published: _Published) -> None:
    """Raise Conflict, InUse or NoSpace when what comes can't be written where it shall be."""
    if request.conversion.on_device:
        os.close(open_exclusively(request.conversion.dest))
    require_writable_folder(request.staging, option="dest")
    size = published.said.size if published.said else 0
    if size == 0:
        raise TransferError(f"src: {request.url.shown} is empty.")
    if not os.path.exists(request.staging):
        require_space(request.staging, max(size, 0), what=request.url.shown)
