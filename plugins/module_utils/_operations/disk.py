# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disk images: created, grown or shrunk to what is declared, or removed."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from functools import partial
from typing import Any

from .._errors import Conflict, InvalidOption, Unsupported
from .._files import (
    fingerprint,
    is_read_only,
    partial_path,
    real_path,
    remove,
    require_regular,
    require_space,
    require_writable_folder,
)
from .._jobs.running import write_lock
from .._plan import KNOWN_AFTER, Plan, Step
from .._qemu.image import QemuImg
from .._qemu.options import require_version, takes_full_space
from .._sizes import format_size
from .base_files import base_lock
from .disk_facts import absent, differences, foreseen, inspect_existing, observed
from .disk_request import DiskRequest, check_creation, item_path, read_request
from .extent_files import is_untidy, tidy
from .operation import Operation, Tools
from .ownership_change import plan_ownership

RESIZABLE = ("raw", "qcow2")


def plan_disk(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one image; raises what speaks against it."""
    path = item_path(params)
    first = _claim(path, params, tools)
    if params["state"] == "absent":
        plan = _removal(path, params, tools, first=first)
    else:
        plan = _presence(read_request(params, tools, first=first), tools)
    tools.forecast[path] = plan.after
    return plan


def _claim(path: str, params: dict[str, Any], tools: Tools) -> bool:
    """Whether this is the first look at the item; raises InvalidOption when another item has the same path."""
    claims = tools.forecast.setdefault("disk:claims", {})
    first = path not in claims
    if claims.setdefault(path, id(params)) != id(params):
        raise InvalidOption(f"path: {path} is named twice in the list; give each image once.")
    return first


def _presence(request: DiskRequest, tools: Tools) -> Plan:
    tidy = _tidying(request.path)
    if fingerprint(request.path) is None:
        return _creation(request, tools, tidy)
    status = require_regular(request.path, option="path")
    if not stat.S_ISREG(status.st_mode):
        raise Conflict(f"path: {request.path} is a block device; this module makes image files, give the path of one.")
    found = inspect_existing(request)
    told = differences(request, found)
    if told:
        raise Conflict(
            f"path: {request.path} exists and differs from what is declared: {'; '.join(told)}. It is never made anew by "
            f"itself; declare what it is, or remove it first with 'state: absent'."
        )
    return _convergence(request, found, tools, tidy)


def _tidying(path: str) -> tuple[Step, ...]:
    """A step for what an interrupted run left; the locks of all who write there are held."""
    leftover = partial_path(path)
    split = (Step(f"remove the unfinished files of {path}", partial(tidy, path)),) if is_untidy(path) else ()
    if not os.path.lexists(leftover):
        return split
    return (*split, Step(f"remove the unfinished file {leftover}", partial(remove, leftover)))


def _creation(request: DiskRequest, tools: Tools, tidy: tuple[Step, ...]) -> Plan:
    require_writable_folder(request.path, option="path")
    size = check_creation(request)
    require_version(request.options, QemuImg(tools.commands).version)
    if takes_full_space(request.options):
        require_space(request.path, size, what=f"path: {request.path}")
    from .disk_work import create

    over = f" over {request.base.path}" if request.base else ""
    title = f"create {request.path} ({request.format}, {format_size(size)}){over}"
    return Plan(
        request.path,
        absent(request.path),
        foreseen(request, size),
        partial(observed, request.path, declared=request.format),
        steps=(*tidy, Step(title, partial(create, request, size, tools))),
        provisional=bool(request.base and request.base.foreseen),
    )


def _convergence(request: DiskRequest, found: dict[str, Any], tools: Tools, tidy: tuple[Step, ...]) -> Plan:
    """Size and ownership of an image that is there."""
    steps = _resizing(request, found["virtual_size"], tools)
    owning, warnings, owned = plan_ownership(request.path, **request.ownership, tools=tools)
    after = {**found, **owned}
    if steps:
        after.update(virtual_size=request.virtual_size, allocated_size=KNOWN_AFTER)
    return Plan(
        request.path,
        found,
        after,
        partial(observed, request.path, declared=request.format),
        steps=(*tidy, *steps, *owning),
        warnings=warnings,
    )


def _resizing(request: DiskRequest, now: int, tools: Tools) -> tuple[Step, ...]:
    wanted = request.virtual_size if request.size is not None else None
    if wanted is None or wanted == now:
        return ()
    shrink = wanted < now
    sizes = f"{format_size(now)} ({now} bytes), declared is {format_size(wanted)} ({wanted} bytes)"
    if request.format not in RESIZABLE:
        raise Unsupported(
            f"size: {request.path} has {sizes}, and QEMU can't resize {request.format} images; convert it to raw or qcow2 with "
            f"imageops.fleet.disk_convert, resize that, and convert it back."
        )
    if shrink and not request.params["allow_shrink"]:
        raise Conflict(
            f"size: {request.path} has {sizes}; shrinking cuts off the end of the disk and is done only with "
            f"'allow_shrink: true', after file systems and partitions in it were made smaller."
        )
    if is_read_only(request.path):
        raise Conflict(
            f"size: {request.path} has {sizes}, and its file system is read-only; remount it, or leave 'size' out."
        )
    from .disk_work import resize
    from .usage import DOMAIN, refuse, users_of

    users = users_of(request.path, tools, search_paths=request.params["search_paths"] or ())
    refuse(request.path, [user for user in users if user.running or not (user.kind == DOMAIN and user.top)])
    verb = "shrink" if shrink else "grow"
    title = f"{verb} {request.path} from {format_size(now)} to {format_size(wanted)}"
    return (Step(title, partial(resize, request, wanted, shrink, tools)),)


def _removal(path: str, params: dict[str, Any], tools: Tools, *, first: bool) -> Plan:
    tidy = _tidying(path)
    if fingerprint(path) is None:
        return Plan(path, absent(path), absent(path), partial(absent, path), steps=tidy)
    _check_removable(path, params)
    require_writable_folder(path, option="path")
    from .disk_work import unlink
    from .extent_use import extent_users
    from .usage import OVERLAY, refuse, users_of

    gone = {name for name, facts in tools.forecast.items() if facts.get("state") == "absent"} if first else set()
    folders = params["search_paths"] or ()
    users = users_of(path, tools, search_paths=folders, gone=gone)
    users += extent_users(path, tools, search_paths=folders, gone=gone)
    refuse(path, [user for user in users if not (params["force"] and user.kind == OVERLAY)])
    return Plan(
        path,
        {"path": path, "state": "present"},
        absent(path),
        partial(absent, path),
        steps=(*tidy, Step(f"remove {path}", partial(unlink, path))),
        provisional=bool(gone),
    )


def _check_removable(path: str, params: dict[str, Any]) -> None:
    if os.path.islink(params["path"]):
        raise Conflict(f"path: {params['path']} is a symbolic link to {path}; name the image itself.")
    if not stat.S_ISREG(require_regular(path, option="path").st_mode):
        raise Conflict(f"path: {path} is a block device, and no file that could be removed.")


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The image, the job that may write it, and the backing file, which must not go while an overlay is made.

    What goes nobody may make disks from, from the look at who uses it on.
    """
    path = real_path(params["path"])
    if params["state"] == "absent":
        return [path, write_lock(path), base_lock(path)]
    below = params["backing"]["path"] if params["backing"] else ""
    return [path, write_lock(path), *([real_path(below)] if below else [])]


OPERATION = Operation(plan=plan_disk, result="disks", locks=locks, parallel=4)
