# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal snapshots of a qcow2 image that nobody uses: look at its tables, decide, change them by a job."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from .._errors import Conflict, InUse, InvalidOption, Unsupported
from .._files import fingerprint, real_path, require_writable_folder
from .._formats.qcow2_points import Points, read_points
from .._jobs.launch import Job, running
from .._plan import KNOWN_AFTER, Plan, Step
from .claims import claim
from .disk_snapshot_acts import CREATE, DELETE, REVERT, Act, acts_for, check_request, names_after
from .disk_snapshot_mark import is_marked
from .inspection import Inspected, inspect
from .long_work import bandwidth_of, check_timeout, job_step, job_writing
from .operation import Operation, Tools

_KIND = "snapshot"
_NO_LIMIT = 10 * 365 * 86400.0
# An L1 table up to one page is written by the kernel in one piece, whoever is killed meanwhile.
_ATOMIC_BYTES = 4096


def plan_snapshot(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan for one image; raises what speaks against it."""
    _check(params)
    image = _image(params)
    claim([image.path], tools, option="path", changes=True)
    points = read_points(image.path)
    acts, marked = acts_for(params, points), is_marked(image.path)
    before = _facts(image.path, points)
    after = _foreseen(before, acts)
    info: dict[str, Any] = {}
    steps: tuple[Step, ...] = ()
    upkeep: tuple[Step, ...] = ()
    if acts or marked:
        job = _job(params, image, points, acts, tools)
        _require_free(image.path, params, tools, reverts=any(act.verb == REVERT for act in acts))
        if not marked:
            _require_sound(image.path)
        title = "; ".join(act.title for act in acts) or f"tidy up after an interrupted snapshot of {image.path}"
        step = job_step(title, job, tools, params=params, info=info)
        steps, upkeep = ((step,), ()) if acts else ((), (step,))

    def observe() -> dict[str, Any]:
        return _facts(image.path, read_points(image.path))

    return Plan(image.path, before, after, observe, steps=steps, upkeep=upkeep, info=info)


def _check(params: dict[str, Any]) -> None:
    if not os.path.isabs(params["path"]):
        raise InvalidOption(f"path: '{params['path']}' is not an absolute path; give one that starts with a slash.")
    check_timeout(params)
    check_request(params)


def _image(params: dict[str, Any]) -> Inspected:
    image = _inspected(params)
    if not os.path.isfile(image.path):
        raise Unsupported(f"path: {image.path} is a block device, and only regular files are supported here.")
    if image.chain[0].facts.encryption:
        raise Unsupported(f"path: {image.path} is encrypted, and snapshots of encrypted images aren't supported here.")
    return image


def _inspected(params: dict[str, Any]) -> Inspected:
    try:
        return inspect(params["path"], declared="qcow2", backing=params["backing"] or ())
    except Conflict as error:
        if not error.details.get("findings"):
            raise
        raise Unsupported(
            f"path: {params['path']} is no qcow2 image, and only those hold snapshots; convert it with imageops.fleet.disk_convert.",
            **error.details,
        ) from error


def _job(params: dict[str, Any], image: Inspected, points: Points, acts: list[Act], tools: Tools) -> Job:
    found = fingerprint(image.path)
    on_copy = any(act.verb == REVERT for act in acts) and not _safe_in_place(params["name"], points)
    require_writable_folder(image.path, option="path")
    if on_copy:
        from .whole_copy import require_room

        require_room(image.path)
    return Job(
        _KIND,
        image.path,
        {
            "path": image.path,
            "before": found.as_dict() if found else {},
            "acts": [[act.verb, act.handle] for act in acts],
            "names": names_after(acts, points),
            "on_copy": on_copy,
            "bandwidth": bandwidth_of(params),
            "search_paths": params["search_paths"] or [],
        },
        _entry,
    )


def _entry() -> str:
    from . import disk_snapshot_job

    return disk_snapshot_job.__name__


def _safe_in_place(name: str, points: Points) -> bool:
    """Whether a revert changes what guests see in one write.

    A snapshot of another size is not: QEMU resizes the disk first. Nor is a table that is written in several pieces.
    """
    point = points.named(name)[0]
    return point.disk_size == points.virtual_size and max(points.l1_bytes, point.l1_entries * 8) <= _ATOMIC_BYTES


def _facts(path: str, points: Points) -> dict[str, Any]:
    current = [point.name for point in points.points if point.current]
    return {
        "path": path,
        "virtual_size": points.virtual_size,
        "current": current[-1] if current else None,
        "snapshots": points.listed(),
    }


def _foreseen(before: dict[str, Any], acts: list[Act]) -> dict[str, Any]:
    """What the acts make of it."""
    after = {**before, "snapshots": list(before["snapshots"])}
    for act in acts:
        if act.verb == CREATE:
            new = {"id": KNOWN_AFTER, "name": act.name, "date": KNOWN_AFTER, "vm_state_size": 0}
            after["snapshots"].append({**new, "disk_size": before["virtual_size"]})
            after["current"] = act.name
        elif act.verb == DELETE:
            first = next(found for found in after["snapshots"] if found["name"] == act.name)
            after["snapshots"].remove(first)
            # A disk that stands at a deleted snapshot may stand at another one as well; that is seen afterwards.
            after["current"] = None if after["current"] == act.name else after["current"]
        else:
            size = next(found["disk_size"] for found in after["snapshots"] if found["name"] == act.name)
            after.update(current=act.name, virtual_size=size)
    return after


def _require_sound(path: str) -> None:
    """Raise Conflict for tables that are damaged already: then nothing that is said here about safety holds."""
    from .._qemu.image import Image
    from .._qemu.image_check import check_image

    found = check_image(Image(path, "qcow2"))
    if found.damaged:
        raise Conflict(
            f"path: {path} is damaged ({found.corruptions} corruptions, {found.errors} errors), so its snapshots are not "
            f"changed; repair it with imageops.fleet.disk_check first.",
            check=found.as_dict(),
        )


def _require_free(path: str, params: dict[str, Any], tools: Tools, *, reverts: bool) -> None:
    """Raise InUse for what a change would disturb.

    A stopped VM without snapshots of its own is not disturbed, unless another image rests on content that would change.
    """
    from .usage import DOMAIN, OVERLAY, User, keeps_snapshots, users_of

    users = users_of(path, tools, search_paths=params["search_paths"] or ())
    told = [user for user in users if user.running or (reverts and (user.kind == OVERLAY or not user.top))]
    told += [
        User(DOMAIN, user.name, f"libvirt keeps snapshots of the domain {user.name}, which has it")
        for user in users
        if user.kind == DOMAIN and not user.running and user not in told and keeps_snapshots(user.name, tools)
    ]
    if told:
        hint = "; snapshots of a VM are the business of imageops.fleet.vm_snapshot"
        raise InUse(
            f"path: {path} is in use and was left as it is: {'; '.join(user.sentence for user in told)}"
            f"{hint if any(user.kind == DOMAIN for user in told) else ''}.",
            users=[{"kind": user.kind, "name": user.name} for user in told],
        )


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The image's name; the job holds the lock of what it writes."""
    return [real_path(params["path"])] if params["path"] else []


def wait_for_running(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that changes the image's snapshots now, whatever it wants; False, as the image is looked at afresh."""
    job = Job(_KIND, real_path(params["path"]), {}, _entry)
    tools.clock.wait_until(lambda: running(job, tools.clock) is None, params["timeout"] or _NO_LIMIT)
    return False


OPERATION = Operation(
    plan=plan_snapshot,
    result="disks",
    locks=locks,
    join=wait_for_running,
    job_id=job_writing(_KIND, "path"),
    parallel=2,
)
