# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rewriting of an image: only what isn't zero, compressed where that is wanted, compared with the old one."""

from __future__ import annotations

import os

from .._commands import Commands
from .._errors import EngineError
from .._faults import fault_point
from .._files import remove
from .._formats.chain import inspect_chain
from .._formats.compress_pool import workers
from .._formats.safety import verdict
from .._jobs.progress import Progress
from .._qemu.image import Image, QemuImg, convert_arguments
from .._qemu.nbd_export import exported
from .._qemu.nbd_server import can_serve
from .._qemu.options import engine_arguments
from .._qemu.percent import run_with_percent
from .._qemu.rebase import header_arguments
from .disk_compact_request import CompactRequest
from .own_writers import METHOD, Writer, writer_for
from .pacing import paced


def rewrite(request: CompactRequest, source: Image, target: Image, progress: Progress, lock: int) -> dict[str, str]:
    """Write the content of `source` into the new file `target`; which engine did it."""
    remove(target.path)
    handle = os.open(target.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        writer = _writer(request)
        if writer:
            progress.phase("rewrite", total=request.size)
            _by_writer(request, source, handle, writer, progress=progress, lock=lock)
            return {"method": METHOD, **writer.details}
    finally:
        os.close(handle)
    _by_engine(request, source, target, progress, lock)
    return {"method": "qemu-img"}


def _writer(request: CompactRequest) -> Writer | None:
    """What of ours would write it; they know no backing files, and read through qemu-nbd."""
    if request.base is not None or not can_serve():
        return None
    return writer_for(request.format, request.options, compress=request.compress, path=request.path)


def _by_writer(
    request: CompactRequest, source: Image, handle: int, writer: Writer, *, progress: Progress, lock: int
) -> None:
    report = paced(progress, request.bandwidth, fault="compact:while-writing")
    with exported(source, readers=workers(), pass_fds=(lock,)) as content:
        writer.write(content, handle, report=report)


def _by_engine(request: CompactRequest, source: Image, target: Image, progress: Progress, lock: int) -> None:
    base = Image(request.base.path, request.base.format) if request.base else None
    argv = convert_arguments(
        source,
        target,
        options=engine_arguments(request.format, request.options),
        compressed=request.compress,
        rate_limit=request.bandwidth,
        backing=base,
    )
    progress.phase("rewrite", total=request.size)
    run_with_percent(argv, lambda percent: progress.update(int(request.size * percent / 100)), pass_fds=(lock,))
    if request.base and base and request.base.name != base.path:
        # The header names the base as it did before, relative or not.
        Commands().output(header_arguments(target, backing=base, name=request.base.name), pass_fds=(lock,))


def require_equal(request: CompactRequest, source: Image, target: Image, progress: Progress) -> None:
    """Raise EngineError unless guests see the same bytes in both, and parser and engine find nothing wrong with the new one."""
    progress.phase("verify")
    fault_point("compact:before-verify")
    chain = inspect_chain(target.path, declared=target.format)
    wrong = [found.message for _where, found in verdict(chain, allowed_backing=set(request.allowed)).refusals]
    engine = QemuImg(Commands())
    checked = engine.check(target)
    if not wrong and (checked.corrupt or checked.leaks):
        wrong = ["qemu-img check finds faults in it."]
    if not wrong and not engine.compare(source, target):
        wrong = ["its content differs."]
    if wrong:
        raise EngineError(f"The compacted {request.path} is not what it was, and was thrown away: " + " ".join(wrong))
