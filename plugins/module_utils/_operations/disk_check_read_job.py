# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of reading disks as guests see them: compare two, compute a checksum. Nothing is written but our own record."""

from __future__ import annotations

import hashlib
import sys
import time
from dataclasses import replace
from typing import Any

from .._errors import Conflict
from .._faults import fault_point
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.guest_view import BLOCK, guest_blocks, length_of_block
from .._qemu.image import Image
from .._qemu.image_compare import first_difference
from .._records import read_record, untouched, write_record
from .inspection import identity_of, inspect


def read(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Do what `params` (CheckRequest.read_job) say; what was found."""
    images = [params[key] for key in ("image", "other") if params[key]]
    for image in images:
        _require_same(image, when="before it could be read")
        inspect(image["path"], declared=image["format"], backing=image["backing"])
    found: dict[str, Any] = {}
    if params["other"]:
        found["first_difference"] = _compare(params["image"], params["other"], progress, lock)
    if params["checksum"]:
        found["checksum"] = _checksum(params["image"], params["checksum"], params["bandwidth"], progress)
    fault_point("read:before-verify")
    for image in images:
        _require_same(image, when="while it was read")
    if params["checksum"]:
        _remember(params["image"], f"{params['checksum']}:{found['checksum']}")
    return found


def _require_same(image: dict[str, Any], *, when: str) -> None:
    if identity_of([file["path"] for file in image["files"]]) != image["files"]:
        raise Conflict(f"{image['path']} was written to {when}; run the task again when nothing writes to it.")


def _compare(one: dict[str, Any], other: dict[str, Any], progress: Progress, lock: int) -> int | None:
    size = max(one["size"], other["size"])
    progress.phase("compare", total=size)
    return first_difference(
        Image(one["path"], one["format"]),
        Image(other["path"], other["format"]),
        lambda percent: progress.update(int(size * percent / 100)),
        pass_fds=(lock,),
    )


def _checksum(image: dict[str, Any], algorithm: str, bandwidth: int | None, progress: Progress) -> str:
    """The digest of every byte that a guest would read, zeros of holes included."""
    size, digest, zeros = image["size"], hashlib.new(algorithm), bytes(BLOCK)
    direct = image["format"] == "raw" and not image["backing"]
    progress.phase("checksum", total=size)
    done, read_bytes, began = 0, 0, time.monotonic()
    with guest_blocks(Image(image["path"], image["format"]), size=size, direct=direct) as blocks:
        for number, block in enumerate(blocks):
            length = length_of_block(number, size)
            digest.update(zeros[:length] if block is None else block)
            done += length
            progress.update(done)
            if block is not None and bandwidth:
                read_bytes += length
                time.sleep(max(0.0, began + read_bytes / bandwidth - time.monotonic()))
    return digest.hexdigest()


def _remember(image: dict[str, Any], digest: str) -> None:
    """Keep the digest in our own record, where it says of the whole content: no file below, and as it was made."""
    record = read_record(image["path"])
    if record is not None and len(image["files"]) == 1 and untouched(image["path"], record):
        write_record(image["path"], replace(record, digest=digest))


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], read)
