# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a new image is written, and how it gets its name together with its record and its SBOM."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from typing import Any

from .._commands import Commands
from .._errors import Conflict, EngineError
from .._faults import fault_point
from .._files import fingerprint, partial_path, remove, write_bytes
from .._formats.compress_pool import workers
from .._jobs.progress import Progress
from .._qemu.image import Image, QemuImg, convert_arguments
from .._qemu.nbd_export import exported
from .._qemu.nbd_server import can_serve
from .._qemu.options import engine_arguments
from .._qemu.percent import run_with_percent
from .._records import Record, publish_with_record
from .build_request import half_sboms, hidden_files, sbom_path, stale_sboms
from .own_writers import METHOD, writer_for
from .ownership import apply_to_new
from .pacing import paced
from .replacing import replacing


def leaves(path: str) -> tuple[str, ...]:
    """All that a build of `path` may leave when it is killed."""
    return (*hidden_files(path)[:2], *(partial_path(path, suffix=suffix) for suffix in ("-work-raw", "-tree")))


def discard(path: str) -> None:
    """Remove all of it."""
    for name in (*leaves(path), *half_sboms(path)):
        if os.path.isdir(name) and not os.path.islink(name):
            # What is in it may be anybody's, and nothing of it is mounted any more.
            shutil.rmtree(name)
        else:
            remove(name)


def write_image(
    source: Image, target: Image, *, size: int, compression: str, bandwidth: int | None, progress: Progress, lock: int
) -> dict[str, str]:
    """Write the content of `source` into the new file `target`, and compare them; which engine did it."""
    options = {"compression_type": compression} if compression == "zstd" else {}
    compress = compression != "none"
    writer = writer_for(target.format, options, compress=compress, path=target.path) if can_serve() else None
    handle = os.open(target.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    progress.phase("write", total=size)
    try:
        if writer:
            report = paced(progress, bandwidth, fault="build:while-writing")
            with exported(source, readers=workers(), pass_fds=(lock,)) as content:
                writer.write(content, handle, report=report)
            told = {"method": METHOD, **writer.details}
        else:
            argv = convert_arguments(
                source,
                target,
                options=engine_arguments(target.format, options),
                compressed=compress,
                rate_limit=bandwidth,
            )
            run_with_percent(argv, lambda done: progress.update(int(size * done / 100)), pass_fds=(lock,))
            told = {"method": "qemu-img"}
    finally:
        os.close(handle)
    _require_equal(source, target, progress)
    return told


def _require_equal(source: Image, target: Image, progress: Progress) -> None:
    progress.phase("verify")
    fault_point("build:before-verify")
    engine = QemuImg(Commands())
    checked = engine.check(target)
    if checked.corrupt or checked.leaks or not engine.compare(source, target):
        raise EngineError(
            "The new image is not what was built, and was thrown away; the disk or the host's memory may be damaged."
        )


def publish(params: Mapping[str, Any], record: Record, sbom: bytes) -> None:
    """Give the image owner, mode, record, SBOM and name; raises Conflict or InUse when somebody else changed or uses what is there."""
    path, new = params["path"], hidden_files(params["path"])[0]
    apply_to_new(new, owner=params["owner"], group=params["group"], mode=params["mode"])
    name = sbom_path(path, sbom)
    fault_point("build:before-publish")
    with replacing(path, params["before"], search_paths=params["search_paths"]):
        found = fingerprint(path)
        if (found.as_dict() if found else None) != params["before"]:
            raise Conflict(f"path: {path} was changed by somebody else meanwhile; it was left as it is now.")
        write_bytes(name, sbom, mode=0o644, alone=True)
        fault_point("build:sbom-written")
        publish_with_record(new, path, record)
    fault_point("build:after-publish")
    for stale in stale_sboms(path, os.path.basename(name)):
        remove(stale)
