# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a conversion, as the host helper does it: source, engine, verification, record, name."""

from __future__ import annotations

import os
import sys
from typing import Any

from .._faults import fault_point
from .._formats.facts import ImageFacts
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._records import Record
from .._transfer.checksum import parse_checksum
from . import convert_engine
from .convert_checksum import require_checksum
from .convert_place import place_of
from .convert_source import obtained, require_unchanged
from .convert_verify import verify
from .convert_work import Work
from .inspection import Inspected
from .pacing import paced


def convert(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Make the image that `params` (ConvertRequest.job) describes; facts for the task's result.

    Whatever happens, `dest` is the old content or the new, and no partial file stays. A block device is marked as
    unfinished until it is whole.
    """
    with obtained(params, progress, lock) as source:
        _prove(params, source, progress)
        place = place_of(params)
        try:
            place.prepare(progress)
            work = Work(params, source, place, progress, lock)
            fault_point("convert:before-write")
            engine = convert_engine.write(work)
            fault_point("convert:before-verify")
            progress.phase("verify")
            facts = verify(work)
            require_unchanged(params, source)
            progress.phase("publish")
            place.publish(_record(work, facts))
        finally:
            place.discard()
    return {"verify": params["verify"], **engine}


def _prove(params: dict[str, Any], source: Inspected, progress: Progress) -> None:
    """Raise Conflict unless the file that is held has the checksum that was asked for; nothing is touched before."""
    asked = parse_checksum(params["checksum"]).known if params.get("checksum") else None
    if asked is None:
        return
    handle = source.pinned[source.path]
    progress.phase("checksum", total=os.lseek(handle, 0, os.SEEK_END))
    require_checksum(source.path, handle, asked, paced(progress, params["bandwidth"], fault="convert:while-hashing"))


def _record(work: Work, facts: ImageFacts) -> Record:
    """The record of the conversion."""
    params = work.params
    proven = {"checksum": params["checksum"]} if params.get("checksum") else {}
    return Record(
        operation="convert",
        format=facts.format,
        virtual_size=work.virtual_size,
        source=params.get("made_from", {"path": work.source.path, "files": params["source"], **proven}),
        options=params["declared"],
        tool=params["tool"],
    )


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], convert)
