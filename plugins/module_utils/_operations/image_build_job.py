# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a build: the base, the steps on a disk over it, the new image, its SBOM and its name."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .._catalog.times import format_time
from .._commands import Commands
from .._errors import Conflict
from .._faults import fault_point
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image, QemuImg
from .._records import Record
from .build_base import URL
from .build_engine import customise
from .build_fetch import fetched
from .build_generalise import generalising
from .build_place import discard, leaves, publish, write_image
from .build_request import KIND, hidden_files, new_salt, sbom_path, secrets_mark
from .build_sbom import read_inventory, spdx
from .build_scripts import Scripts
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
        with _base(params, progress) as base:
            return _build(params, base, progress, lock)
    finally:
        discard(path)


@contextmanager
def _base(params: Mapping[str, Any], progress: Progress) -> Iterator[Inspected]:
    """The image of the base, inspected here and now."""
    told = params["base"]
    if told["kind"] == URL:
        with fetched(params, hidden_files(params["path"])[2], progress) as image:
            yield image
        return
    image = inspect(told["path"], declared=told["format"], backing=told["allowed"], option="base")
    if image.identity() != told["files"]:
        raise Conflict(f"base: {told['path']} was written to meanwhile; run the task again.")
    yield image


def _build(params: dict[str, Any], base: Inspected, progress: Progress, lock: int) -> dict[str, Any]:
    new, work, _download = hidden_files(params["path"])
    source = _source(params, base, progress)
    disk = Image(work, "qcow2")
    size = max(params["size"] or 0, base.virtual_size)
    QemuImg(Commands()).create(disk, size=size, backing=Image(base.path, base.format), pass_fds=(lock,))
    fault_point("build:prepared")
    secrets = json.loads(params.get("secrets", {}).get("steps", "{}"))
    scripts = [*Scripts(secrets).of(params["steps"]), *generalising(params["generalise"])]
    done = customise(params, disk, scripts, progress, lock)
    fault_point("build:customised")
    told = write_image(
        disk,
        Image(new, params["format"]),
        size=size,
        compression=params["compression"],
        bandwidth=params["bandwidth"],
        progress=progress,
        lock=lock,
    )
    if identity_of(base.files) != base.identity():
        raise Conflict(f"base: {base.path} was written to meanwhile; nothing was built. Run the task again.")
    fault_point("build:written")
    progress.phase("publish")
    inventory = read_inventory(done.packages)
    tool = f"imageops.fleet {params['version']}"
    name = os.path.basename(params["path"])
    sbom = spdx(inventory, name=name, created=format_time(Clock().time()), tool=tool)
    salt = new_salt() if secrets else ""
    options = {
        "recipe": params["recipe"],
        "engine": done.engine,
        "packages": len(inventory.packages),
        "sbom": os.path.basename(sbom_path(params["path"], sbom)),
        "sbom_digest": f"sha256:{hashlib.sha256(sbom).hexdigest()}",
        **({"salt": salt, "mark": secrets_mark(secrets, salt)} if salt else {}),
    }
    publish(params, Record(KIND, params["format"], size, source=source, options=options, tool=tool), sbom)
    return {**told, **done.facts, "base_digest": source["digest"], "changed": True}


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
    told = params["base"]
    kept = ("kind", "path", "reference", "manifest", "disk", "url", "checksum")
    return {**{name: told[name] for name in kept if told.get(name)}, "digest": f"sha256:{digest.hexdigest()}"}


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], build)
