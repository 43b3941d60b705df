# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a conversion, as the host helper does it: convert, verify, record, publish."""

from __future__ import annotations

import os
import sys
from typing import Any

from .._commands import Commands
from .._errors import Conflict, EngineError
from .._faults import fault_point
from .._files import fingerprint, partial_path, remove
from .._formats.chain import inspect_chain
from .._formats.facts import ImageFacts
from .._formats.safety import verdict
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._qemu.image import Image, QemuImg, convert_arguments
from .._qemu.image_locks import kept_from_engines
from .._qemu.options import engine_arguments, virtual_size
from .._qemu.percent import run_with_percent
from .._records import Record, publish_with_record
from .inspection import Inspected, identity_of, inspect
from .ownership import apply_to_new


def convert(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Make the image that `params` (ConvertRequest.job) describes; facts for the task's result.

    Whatever happens, `dest` is the old content or the new, and no partial file stays.
    """
    source = _same_source(params)
    dest, target = params["dest"], Image(partial_path(params["dest"]), params["format"])
    remove(target.path)
    try:
        _run(params, source, target, progress, lock)
        fault_point("convert:before-verify")
        progress.phase("verify")
        facts = _verify(params, source, target)
        _require_unchanged(params, source)
        apply_to_new(target.path, owner=params["owner"], group=params["group"], mode=params["mode"])
        progress.phase("publish")
        fault_point("convert:before-publish")
        with kept_from_engines(dest):
            _same_destination(params)
            publish_with_record(target.path, dest, _record(params, source, facts))
    finally:
        remove(target.path)
    return {"verify": params["verify"]}


def _same_source(params: dict[str, Any]) -> Inspected:
    """The source, inspected here and now; raises Conflict when it isn't what the task looked at."""
    source = inspect(params["src"], declared=params["src_format"], backing=params["src_backing"], option="src")
    _require_unchanged(params, source)
    return source


def _require_unchanged(params: dict[str, Any], source: Inspected) -> None:
    if identity_of(source.files) != params["source"]:
        raise Conflict(
            f"src: {params['src']} was written to while it was being converted; run the task again when nothing writes to it."
        )


def _same_destination(params: dict[str, Any]) -> None:
    found = fingerprint(params["dest"])
    if (found.as_dict() if found else None) != params["dest_before"]:
        raise Conflict(
            f"dest: {params['dest']} was changed by somebody else during the conversion; it was left as it is now."
        )


def _run(params: dict[str, Any], source: Inspected, target: Image, progress: Progress, lock: int) -> None:
    """qemu-img under our lock; a target larger than the source is made first and then filled."""
    below = Image(source.path, source.format)
    options = engine_arguments(params["format"], params["options"])
    size = virtual_size(params["format"], source.virtual_size, params["options"])
    padded = params["options"].get("size_rule") == "mib" and size != source.virtual_size
    os.close(os.open(target.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    if padded:
        QemuImg(Commands()).create(target, size=size, options=options)
    argv = convert_arguments(
        below,
        target,
        options=() if padded else options,
        compressed=params["compress"],
        rate_limit=params["bandwidth"],
        existing=padded,
        zeroed=padded,
    )
    progress.phase("convert", total=source.virtual_size)
    run_with_percent(argv, lambda percent: progress.update(int(source.virtual_size * percent / 100)), pass_fds=(lock,))


def _verify(params: dict[str, Any], source: Inspected, target: Image) -> ImageFacts:
    """Read the new image back: format, size and tables by our parser; deep: QEMU's check and every guest byte."""
    chain = inspect_chain(target.path, declared=target.format)
    facts = chain[0].facts
    wrong = [found.message for _where, found in verdict(chain).refusals]
    if facts.format != target.format:
        wrong.append(f"its format is {facts.format}.")
    size = virtual_size(params["format"], source.virtual_size, params["options"])
    if facts.virtual_size != size:
        wrong.append(f"its virtual size is {facts.virtual_size} bytes, not {size}.")
    if not wrong and params["verify"] == "deep":
        wrong = _deep(source, target)
    if wrong:
        raise EngineError(
            f"The image converted from {source.path} is not what was asked for, and was thrown away: " + " ".join(wrong)
        )
    return facts


def _deep(source: Inspected, target: Image) -> list[str]:
    engine = QemuImg(Commands())
    if engine.check(target).corrupt:
        return ["qemu-img check calls it corrupt."]
    if not engine.compare(Image(source.path, source.format), target):
        return ["its content differs from the source's."]
    return []


def _record(params: dict[str, Any], source: Inspected, facts: ImageFacts) -> Record:
    """The record of the conversion that `params` describes."""
    options = {**params["options"], **({"compress": True} if params["compress"] else {})}
    return Record(
        operation="convert",
        format=facts.format,
        virtual_size=facts.virtual_size,
        source={"path": source.path, "files": params["source"]},
        options=options,
        tool=params["tool"],
    )


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], convert)
