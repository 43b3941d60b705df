# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a build: the base, the steps on a disk over it, the new image, its SBOM and its name."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from .._commands import Commands
from .._errors import Conflict
from .._faults import fault_point
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image, QemuImg
from .build_engine import customise
from .build_fetch import fetched
from .build_finish import finish, scripts_of, worked_on, written
from .build_kinds import TREES, URL
from .build_place import discard, leaves
from .build_request import hidden_files
from .build_tree import build_from_tree
from .inspection import Inspected, identity_of, inspect
from .job_proxies import use_proxies

_PIECE = 1 << 20


def build(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Build the image that `params` (BuildRequest.job) describe; facts for the task's result.

    Whatever happens, the name shows the old image or the new one, and no other file stays but what a broken download goes on with.
    """
    path = params["path"]
    progress.leaves(*leaves(path))
    use_proxies(params.get("secrets", {}))
    try:
        discard(path)
        if params["base"]["kind"] in TREES:
            return _build_tree(params, progress, lock)
        with ExitStack() as stack:
            return _build(params, _base(params, progress, stack), progress, lock)
    finally:
        discard(path)


def _base(params: Mapping[str, Any], progress: Progress, stack: ExitStack) -> Inspected:
    """The image of the base, inspected here and now; what was fetched goes with `stack`."""
    told = params["base"]
    if told["kind"] == URL:
        return stack.enter_context(fetched(params, hidden_files(params["path"])[2], progress))
    image = inspect(told["path"], declared=told["format"], backing=told["allowed"], option="base")
    if image.identity() != told["files"]:
        raise Conflict(f"base: {told['path']} was written to meanwhile; run the task again.")
    return image


def _build(params: dict[str, Any], base: Inspected, progress: Progress, lock: int) -> dict[str, Any]:
    work = hidden_files(params["path"])[1]
    source = _source(params, base, progress)
    disk = Image(work, "qcow2")
    size = max(params["size"] or 0, base.virtual_size)
    QemuImg(Commands()).create(disk, size=size, backing=Image(base.path, base.format), pass_fds=(lock,))
    fault_point("build:prepared")
    done = customise(params, disk, scripts_of(params), progress, lock)
    fault_point("build:customised")
    told = written(params, worked_on(disk, done), size, progress, lock)
    if identity_of(base.files) != base.identity():
        raise Conflict(f"base: {base.path} was written to meanwhile; nothing was built. Run the task again.")
    finish(params, done, source, size, progress)
    return {**told, **done.facts, "base_digest": source["digest"], "changed": True}


def _build_tree(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """A tree of files becomes a raw disk, which is written as any other."""
    work = hidden_files(params["path"])[1]
    done = build_from_tree(params, work, scripts_of(params), progress, lock)
    fault_point("build:customised")
    size = os.stat(work).st_size
    told = written(params, Image(work, "raw"), size, progress, lock)
    finish(params, done, params["source"], size, progress)
    return {**told, **done.facts, "changed": True}


def _source(params: Mapping[str, Any], base: Inspected, progress: Progress) -> dict[str, Any]:
    """What the record keeps of the base: where it was, and the digest of its file."""
    progress.phase("read the base", total=os.stat(base.path).st_size)
    digest = hashlib.sha256()
    with open(base.path, "rb") as stream:
        done = 0
        while piece := stream.read(_PIECE):
            digest.update(piece)
            done += len(piece)
            progress.update(done)
    return {**params["source"], "digest": f"sha256:{digest.hexdigest()}"}


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], build)
