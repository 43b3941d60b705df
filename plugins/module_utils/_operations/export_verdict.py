# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an export that is there already means for the one that is asked for."""

from __future__ import annotations

import os

from .._errors import Conflict
from .export_found import Found, plain
from .export_request import ExportRequest
from .export_state import KIND


def tells(found: Found, request: ExportRequest) -> bool:
    """Whether the record tells of just this export, and can be believed about the sources."""
    record = found.record
    if record is None or (record.operation, record.format) != (KIND, request.preset):
        return False
    if not all(os.path.isfile(one["path"]) for disk in request.disks for one in disk.files):
        return False
    declared = {key: value for key, value in record.options.items() if key != "told"}
    return bool(declared == plain(request.declared) and record.source == plain(request.made_from))


def require_replaceable(found: Found, request: ExportRequest, *, force: bool) -> None:
    """Raise Conflict unless what is there is an untouched export of ours, or `force` is given; a folder must be ours in any case."""
    why = _why_not(found)
    if not found.there or not why or (force and (not request.rules.folder or found.record is not None)):
        return
    way = (
        "; give another dest, or remove it."
        if request.rules.folder and found.record is None
        else "; give another dest, or 'force: true' to replace it."
    )
    raise Conflict(f"dest: {request.dest} exists and {why}, so it is not replaced{way}")


def _why_not(found: Found) -> str:
    if found.record is None:
        return "was not made by an export of imageops.fleet, or holds other files too"
    if found.record.operation != KIND:
        return f"was made by another operation ({found.record.operation})"
    return "" if found.clean else "was written to since it was made"
