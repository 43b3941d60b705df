# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of pulling a containerDisk, as the host helper does it: stream the disk out, inspect it, convert it, publish."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

from .._catalog.image import DiskEntry
from .._commands import Commands
from .._errors import EngineError, named
from .._faults import fault_point
from .._files import partial_path, remove, require_space
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image, QemuImg, convert_arguments
from .._qemu.percent import run_with_percent
from .._records import publish_with_record
from .._registry.open import open_store
from .held_images import note_held
from .image_pull_container import container_layers, extract_disk, require_layer_room
from .image_pull_counter import Counter
from .image_pull_file import require_same_destination
from .image_pull_record import record_of
from .image_pull_request import MODE, PullRequest, request_of_job
from .image_pull_use import unused
from .inspection import Inspected, inspect
from .ownership import apply_to_new


def pull_container(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Bring the disk of the container's image that `params` (PullRequest.job) describe; facts for the task's result."""
    request = request_of_job(params)
    staging = partial_path(request.dest, suffix="-container")
    progress.leaves(staging, request.partial)
    try:
        remove(request.partial)
        counter = Counter(progress)
        with contextlib.closing(open_store(request.reference, request.access)) as store:
            layers = container_layers(store, request.digest)
            require_layer_room(layers, staging, what=request.shown)
            counter.phase("fetch", sum(layer.size for layer in layers))
            name = extract_disk(store, layers, request.disk, staging, report=counter.add, limit=request.bandwidth)
        fault_point("pull-image:container-fetched")
        with named(staging, request.shown):
            image = inspect(staging, declared=None, option="image")
            _make(request, image, progress, lock)
        _publish(request, params, DiskEntry(name, image.virtual_size, ""))
    finally:
        remove(staging)
        remove(request.partial)
    return {"fetched_bytes": counter.done, "reused_bytes": 0, "refetched_bytes": 0, "from": {store.where: counter.done}}


def _make(request: PullRequest, image: Inspected, progress: Progress, lock: int) -> None:
    """The disk in the format that is asked for; the very file that came when it is just that."""
    facts = image.chain[0].facts
    if facts.encryption:
        raise EngineError(f"{image.path} is encrypted, and such a disk is not taken out of a container.")
    if request.format == image.format == "raw":
        os.replace(image.path, request.partial)
        return
    source, target = Image(image.path, image.format), Image(request.partial, request.format)
    require_space(request.partial, os.stat(image.path).st_blocks * 512, what=request.shown)
    # Nobody reads it before it has its mode.
    os.close(os.open(request.partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    progress.phase("convert", total=image.virtual_size)
    run_with_percent(
        convert_arguments(source, target),
        lambda percent: progress.update(int(image.virtual_size * percent / 100)),
        pass_fds=(lock,),
    )
    if request.format == "qcow2" and QemuImg(Commands()).check(target).corrupt:
        raise EngineError(f"{image.path} became an image that qemu-img check calls corrupt, which was thrown away.")


def _publish(request: PullRequest, params: dict[str, Any], disk: DiskEntry) -> None:
    record = record_of(request, disk, tool=params["tool"], signed=params["signed"])
    mode = MODE if request.mode is None else request.mode
    apply_to_new(request.partial, owner=request.owner, group=request.group, mode=mode)
    fault_point("pull-image:before-publish")
    with unused(request, params["dest_before"]):
        require_same_destination(request, params["dest_before"])
        publish_with_record(request.partial, request.dest, record)
    fault_point("pull-image:after-publish")
    note_held(request.dest, record, disk)


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], pull_container)
