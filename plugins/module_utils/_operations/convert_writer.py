# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine "writer": our own compressed qcow2 and VMDK, whose clusters all cores look through and compress."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from .._formats.compress_pool import workers
from .._formats.guest_content import GuestContent, RawContent
from .._qemu.nbd_export import exported
from .._qemu.nbd_server import can_serve
from .._qemu.node import is_block_device
from .convert_images import told_clearly
from .convert_work import Work
from .inspection import Inspected
from .own_writers import METHOD, Writer, writer_for
from .pacing import paced

__all__ = ["METHOD", "found_writer", "write"]


def found_writer(params: dict[str, Any], source: Inspected) -> Writer | None:
    """What of ours can write what the job's `params` describe, and read its source; None for nothing."""
    if params["encryption"] is not None or params["sparse_size"] is not None:
        return None
    if source.format != "raw" and not can_serve():
        return None
    return writer_for(params["format"], params["options"], compress=params["compress"], path=params["dest"])


def write(writer: Writer, work: Work) -> bool:
    """Read the source as its guest sees it and write the image; False for block devices, which can't grow as files do."""
    if is_block_device(work.target.path):
        return False
    report = paced(work.progress, work.params["bandwidth"], fault="convert:while-writing")
    handle = os.open(work.target.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with _content(work) as content:
            work.progress.phase("convert", total=content.size)
            writer.write(content, handle, report=report)
    finally:
        os.close(handle)
    return True


@contextlib.contextmanager
def _content(work: Work) -> Iterator[GuestContent]:
    image = work.source_image
    if image.format != "raw":
        with told_clearly(image, work.target.path), exported(image, readers=workers(), pass_fds=(work.lock,)) as found:
            yield found
        return
    name = work.source.path if image.descriptor is None else f"/proc/self/fd/{image.descriptor}"
    handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield RawContent(handle, work.source.virtual_size)
    finally:
        os.close(handle)
