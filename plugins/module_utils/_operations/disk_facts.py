# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk image that is there: its facts as results show them, and where they differ from what is declared."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from .._errors import Conflict
from .._files import real_path
from .._formats.chain import Link, backing_path, inspect_chain
from .._formats.facts import ImageFacts
from .._plan import KNOWN_AFTER
from .._qemu.found import found_options
from .._qemu.options import UNSEEN, completed
from .._records import Record, read_record
from .disk_request import DiskRequest
from .inspection import inspect
from .ownership import check_ownership, ownership_of

# Header fields don't tell it, so it is known from our record only.
_RECORDED = "preallocation"


def absent(path: str) -> dict[str, Any]:
    """The facts of an image that isn't there."""
    return {"path": path, "state": "absent"}


def foreseen(request: DiskRequest, size: int) -> dict[str, Any]:
    """The facts of the image that a creation will make."""
    values = completed(request.format, request.options)
    shown = {
        key: KNOWN_AFTER if (key, value) == ("block_size", 0) else value
        for key, value in values.items()
        if key not in UNSEEN
    }
    return {
        "path": request.path,
        "state": "present",
        "format": request.format,
        "virtual_size": size,
        "allocated_size": KNOWN_AFTER,
        "options": shown,
        "backing": request.base.as_dict() if request.base else None,
        **check_ownership(**request.ownership, path=request.path),
    }


def observed(path: str, *, declared: str) -> dict[str, Any]:
    """The facts of the image at `path`, of which the format is known."""
    return facts_of(inspect_chain(path, declared=declared)[0])


def facts_of(link: Link) -> dict[str, Any]:
    """The facts of an inspected image."""
    record = read_record(link.real_path)
    return {
        "path": link.real_path,
        "state": "present",
        "format": link.facts.format,
        "virtual_size": link.facts.virtual_size,
        "allocated_size": os.stat(link.real_path).st_blocks * 512,
        "options": {**found_options(link.facts), **_recorded(link.facts, record)},
        "backing": _backing(link),
        **ownership_of(link.real_path),
    }


def _recorded(facts: ImageFacts, record: Record | None) -> dict[str, Any]:
    made = record is not None and record.operation in ("create", "overlay")
    if not made or record is None or _RECORDED not in completed(facts.format, {}):
        return {}
    return {_RECORDED: completed(facts.format, record.options)[_RECORDED]}


def _backing(link: Link) -> dict[str, Any] | None:
    named = link.facts.backing
    if named is None:
        return None
    return {"path": real_path(backing_path(link.path, named.name)), "format": named.format}


def inspect_existing(request: DiskRequest) -> dict[str, Any]:
    """The facts of the image that is there.

    Raises Conflict when its format isn't the declared one, UnsafeImage when it names files that nobody declared.
    """
    _check_raw(request)
    below: Sequence[str] = request.base.files if request.base else ()
    found = inspect(request.path, declared=request.format, backing=below, option="path")
    return facts_of(found.chain[0])


def _check_raw(request: DiskRequest) -> None:
    """Any file can be read as raw; one that shows another format, and isn't known to be raw, is that other one."""
    record = read_record(request.path)
    if request.format != "raw" or (record is not None and record.format == "raw"):
        return
    found = inspect_chain(request.path)[0].facts.format
    if found != "raw":
        raise Conflict(f"path: {request.path} is a {found} image, and the declared format is raw; declare what it is.")


def differences(request: DiskRequest, found: dict[str, Any]) -> list[str]:
    """Declared options and backing that are otherwise in the image; only a new image could have them."""
    told = [
        f"options.{key} is {found['options'][key]}, declared is {value}"
        for key, value in request.options.items()
        if key in found["options"] and value != found["options"][key] and (key, value) != ("block_size", 0)
    ]
    if request.base and request.base.as_dict() != found["backing"]:
        told.append(f"backing is {_named(found['backing'])}, declared is {_named(request.base.as_dict())}")
    return told


def _named(backing: dict[str, Any] | None) -> str:
    return f"{backing['path']} ({backing['format']})" if backing else "none"
