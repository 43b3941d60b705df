# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a repair: on a copy, checked again, and only then given the image's name."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from .._errors import EngineError
from .._faults import fault_point
from .._files import partial_path, remove, sync_folder
from .._formats.chain import inspect_chain
from .._formats.safety import verdict
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image
from .._qemu.image_check import Report, check_image, repair_image
from .._records import read_record, untouched
from .copy_publication import publish_copy
from .whole_copy import copy_beside

_BACKUP = "-backup"


def repair(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Repair the image that `params` describe; what was repaired. Its name shows the old image until the new one is sound."""
    path, partial = params["path"], partial_path(params["path"])
    progress.leaves(partial)
    remove(partial)
    settle_backup(path)
    progress.phase("copy", total=params["before"]["size"])
    method = copy_beside(path, partial, progress, bandwidth=params["bandwidth"])
    fault_point("repair:copied")
    progress.phase("repair")
    copied = Image(partial, params["format"])
    done = repair_image(copied, params["repair"], pass_fds=(lock,))
    fault_point("repair:repaired")
    progress.phase("verify")
    _require_sound(path, copied, params["backing"])
    return {
        "method": method,
        "corruptions_fixed": done.corruptions_fixed,
        "leaks_fixed": done.leaks_fixed,
        "backup_file": _publish(params, partial),
    }


def _require_sound(path: str, copied: Image, backing: list[str]) -> None:
    """Raise EngineError unless QEMU and our parser find nothing wrong any more."""
    found = check_image(copied)
    refused = [finding.message for _where, finding in _refusals(copied, backing)]
    if not found.sound or refused:
        raise EngineError(
            f"{path} could not be repaired whole, and was left as it is: {_told(found, refused)}.",
            check=found.as_dict(),
        )


def _refusals(copied: Image, backing: list[str]) -> Any:
    return verdict(inspect_chain(copied.path, declared=copied.format), allowed_backing=backing).refusals


def _told(found: Report, refused: list[str]) -> str:
    counts = f"{found.corruptions} corruptions, {found.errors} errors and {found.leaks} leaks would remain"
    return "; ".join([counts, *found.messages[:2], *refused[:2]]).rstrip(".")


def _publish(params: dict[str, Any], partial: str) -> str | None:
    """Give the repaired copy the name; the original stays under another one when it is wanted."""
    path = params["path"]
    record = read_record(path)
    # Only clusters that nobody refers to went: guests see what they saw, and the record says the same of the image.
    same = params["repair"] == "leaks" and untouched(path, record)
    fault_point("repair:before-backup")
    try:
        if params["backup"]:
            os.link(path, partial_path(path, suffix=_BACKUP))
            sync_folder(path)
        fault_point("repair:before-publish")
        publish_copy(
            partial,
            path,
            before=params["before"],
            record=record,
            same=same,
            reads_same=params["repair"] == "leaks",
            search_paths=params["search_paths"],
        )
        fault_point("repair:after-publish")
    except BaseException:
        settle_backup(path)
        raise
    return settle_backup(path)


def has_unsettled_backup(path: str) -> bool:
    return os.path.lexists(partial_path(path, suffix=_BACKUP))


def settle_backup(path: str) -> str | None:
    """Give the original, which a repair keeps under a hidden name, one that people see; its new name.

    While the image still is the original, nothing was repaired, and the hidden name goes.
    """
    hidden = partial_path(path, suffix=_BACKUP)
    if not os.path.lexists(hidden):
        return None
    if os.path.exists(path) and os.path.samefile(hidden, path):
        remove(hidden)
        return None
    name = f"{path}.{time.strftime('%Y-%m-%d@%H:%M:%S')}~"
    os.rename(hidden, name)
    sync_folder(path)
    return name


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], repair)
