# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a capture: a copy or a layer, generalised there, and written as an image; the source stays as it is."""

from __future__ import annotations

import os
import sys
from typing import Any

from .._commands import Commands
from .._errors import Conflict
from .._faults import fault_point
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image, QemuImg
from .build_engine import customise
from .build_finish import finish, scripts_of, worked_on, written
from .build_place import discard, leaves
from .build_request import hidden_files
from .capture_source import RUNNING, STOPPED, bring
from .inspection import Inspected, inspect
from .pull_source import pull_folder


def capture(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Make the image that `params` describe; facts for the task's result. Nothing but the image stays."""
    path, base = params["path"], params["base"]
    pulled = [pull_folder(base["uuid"])] if base["kind"] == RUNNING else []
    progress.leaves(*leaves(path), *pulled)
    try:
        discard(path)
        return _capture(params, progress, lock)
    finally:
        discard(path)


def _capture(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    work, base = hidden_files(params["path"])[1], params["base"]
    below: Inspected | None = None
    if base["kind"] == STOPPED:
        below = inspect(base["path"], declared=base["format"], backing=base["allowed"], option="vm")
        _require_same(below, base)
        disk = Image(work, "qcow2")
        size = max(params["size"] or 0, below.virtual_size)
        QemuImg(Commands()).create(disk, size=size, backing=Image(below.path, below.format), pass_fds=(lock,))
    else:
        bring(params, work, progress, lock)
        disk = Image(work, "raw")
        size = max(params["size"] or 0, os.stat(work).st_size)
        if size > os.stat(work).st_size:
            QemuImg(Commands()).resize(disk, size=size, pass_fds=(lock,))
        # What another machine holds may be anything; it is only ever opened as raw.
        inspect(work, declared="raw", option="ssh")
    fault_point("capture:taken")
    done = customise({**params, "size": size}, disk, scripts_of(params), progress, lock)
    fault_point("capture:generalised")
    told = written(params, worked_on(disk, done), size, progress, lock)
    if below is not None:
        _require_same(below, base)
    finish(params, done, params["source"], size, progress)
    return {**told, **done.facts, "changed": True}


def _require_same(image: Inspected, base: dict[str, Any]) -> None:
    from .inspection import identity_of

    if identity_of(image.files) != base["files"]:
        raise Conflict(f"vm: {base['path']} was written to meanwhile; run the task again.")


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], capture)
