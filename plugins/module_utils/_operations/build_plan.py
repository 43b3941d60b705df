# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a build or a capture: look at the image's record first; the work is a job."""

from __future__ import annotations

import os
import shutil
from typing import Any

from .._errors import InvalidOption, Unsupported
from .._files import fingerprint, remove, require_space, require_writable_folder
from .._jobs.running import write_lock
from .._locks import try_lock
from .._plan import KNOWN_AFTER, Plan, Step
from .._records import Record, read_record
from .build_chroot import chroot_obstacle
from .build_kinds import DIRECTORY, MMDEBSTRAP, TREES, whole_disk
from .build_request import BuildRequest, built, facts_of, half_sboms, hidden_files, require_replaceable, stale_sboms
from .claims import claim_copy
from .long_work import job_step
from .operation import Tools
from .ownership import check_ownership, ownership_of
from .ownership_change import plan_ownership


def plan_request(request: BuildRequest, tools: Tools) -> Plan:
    """The plan of a build or a capture."""
    params = request.params
    _require_apart(request)
    claim_copy(request.base.files, request.path, tools, option="path")
    record = built(request)
    if record is not None and not params["force"]:
        return _unchanged(request, record, tools)
    require_replaceable(request)
    require_writable_folder(request.path, option="path")
    _require_engine(request)
    _require_room(request)
    if request.before is not None:
        from .usage import require_unused

        require_unused(request.path, tools, search_paths=params["search_paths"] or ())
    return _building(request, tools)


def _require_apart(request: BuildRequest) -> None:
    """Raise InvalidOption for an image that would replace what it is made from, or lie in it."""
    if request.path in request.base.files:
        raise InvalidOption(f"path: the new image is made from {request.path} itself, which stays; give another path.")
    if (
        request.base.kind == DIRECTORY
        and os.path.commonpath((request.path, request.base.told["path"])) == request.base.told["path"]
    ):
        raise InvalidOption(
            f"path: {request.path} is in {request.base.told['path']}, which would be copied into itself; give a path elsewhere."
        )


def _require_engine(request: BuildRequest) -> None:
    """Say while planning what is missing on the host."""
    kind = request.base.kind
    lacking = ""
    if kind in TREES:
        lacking = chroot_obstacle()
        if kind == MMDEBSTRAP and shutil.which("mmdebstrap") is None:
            lacking = "mmdebstrap is not installed (Debian: mmdebstrap)"
    if lacking:
        raise Unsupported(f"base: nothing can be built from a base by {kind} on this host: {lacking}.")


def _require_room(request: BuildRequest) -> None:
    """The disk that is worked on holds what the steps change, and the new image about what the base takes."""
    taken = sum(os.stat(path).st_blocks * 512 for path in request.base.files)
    require_space(request.path, taken, what=f"Building {request.path}")


def _unchanged(request: BuildRequest, record: Record, tools: Tools) -> Plan:
    params = request.params
    steps, warnings, owned = plan_ownership(
        request.path, owner=params["owner"], group=params["group"], mode=params["mode"], tools=tools
    )
    facts = {**facts_of(request.path, record), **ownership_of(request.path)}
    return Plan(
        request.path,
        facts,
        {**facts, **owned},
        lambda: {**facts, **ownership_of(request.path)},
        steps=steps,
        upkeep=_leftovers(request, record),
        warnings=warnings,
    )


def _leftovers(request: BuildRequest, record: Record) -> tuple[Step, ...]:
    """What a run left that was killed when the image had its name already."""
    left = [path for path in (*hidden_files(request.path), *half_sboms(request.path)) if os.path.lexists(path)]
    stale = stale_sboms(request.path, str(record.options.get("sbom", "")))

    def tidy() -> None:
        from .build_place import discard

        lock = try_lock(write_lock(request.path))
        if lock is None:
            # A job of another recipe or operation is at work there.
            return
        try:
            discard(request.path)
            # What an interrupted download brought is of no use to an image that is there.
            for name in (hidden_files(request.path)[2], *stale):
                remove(name)
        finally:
            os.close(lock)

    return (Step("remove what an interrupted build left", tidy),) if left or stale else ()


def _building(request: BuildRequest, tools: Tools) -> Plan:
    params = request.params
    owned = check_ownership(owner=params["owner"], group=params["group"], mode=params["mode"], path=request.path)
    before = _before(request)
    after = {
        "path": request.path,
        "format": request.format,
        "virtual_size": _virtual_size(request),
        "allocated_size": KNOWN_AFTER,
        "recipe": request.recipe,
        "base": {**request.base.source, **({"digest": KNOWN_AFTER} if request.base.has_digest else {})},
        "engine": KNOWN_AFTER,
        "packages": KNOWN_AFTER,
        "sbom": KNOWN_AFTER,
        **owned,
    }
    info: dict[str, Any] = {}
    title = f"{request.kind} {request.path} from {_shown(request)}"
    if request.base.steps:
        step = Step(title, lambda: _when_it_came(request, tools, info))
    else:
        step = job_step(title, request.job(tools.version), tools, params=dict(params), info=info)
    tools.forecast[request.path] = {**after, "virtual_size": request.size or request.base.size or 0}
    return Plan(
        request.path, before, after, lambda: _observed(request.path), steps=(*request.base.steps, step), info=info
    )


def _virtual_size(request: BuildRequest) -> int | str:
    """What the disk will have; of what is not on this host yet nobody knows whether it is larger than asked for."""
    if request.base.size:
        return max(request.size or 0, request.base.size)
    return whole_disk(request.size) if request.size and request.base.kind in TREES else KNOWN_AFTER


def _when_it_came(request: BuildRequest, tools: Tools, info: dict[str, Any]) -> None:
    """Build from the file that was pulled."""
    tools.forecast.pop(request.base.key, None)
    again = request.again(tools) if request.again else request
    job_step("build", again.job(tools.version), tools, params=dict(request.params), info=info).run()


def _shown(request: BuildRequest) -> str:
    declared = request.base.declared
    named = next((declared[name] for name in ("shown", "path", "image", "url") if declared.get(name)), "")
    return str(named or f"{declared['kind']} {declared.get('suite', '')}")


def _before(request: BuildRequest) -> dict[str, Any]:
    if fingerprint(request.path) is None:
        return {}
    record = read_record(request.path)
    return _observed(request.path) if record else {"path": request.path, **ownership_of(request.path)}


def _observed(path: str) -> dict[str, Any]:
    record = read_record(path)
    return {**(facts_of(path, record) if record else {"path": path}), **ownership_of(path)}
