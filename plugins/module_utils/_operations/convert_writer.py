# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine "writer": our own compressed qcow2 and streamOptimized VMDK, where QEMU compresses on one core."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from typing import Any

from .._faults import fault_point
from .._formats.compress_pool import Report, workers
from .._formats.deflate import qcow2_encoder, vmdk_encoder
from .._formats.guest_content import GuestContent, RawContent
from .._formats.qcow2_writer import write_qcow2
from .._formats.stream_vmdk_writer import write_stream_vmdk
from .._qemu.nbd_export import PROGRAM, exported
from .._qemu.node import is_block_device
from .._qemu.options import completed
from .convert_images import told_clearly
from .convert_work import Work
from .inspection import Inspected

METHOD = "writer"
# What our qcow2 has without being asked; other values are QEMU's to write.
_QCOW2_KNOWN = {
    "compression_type": "zlib",
    "preallocation": "off",
    "refcount_bits": 16,
    "lazy_refcounts": False,
    "extended_l2": False,
}
_QCOW2_OWN, _VMDK_OWN = {"cluster_size", "compat"}, {"subformat", "adapter_type", "hwversion"}
_ADAPTERS = {"ide", "lsilogic", "buslogic"}
_VERSIONS = {"0.10": 2, "1.1": 3}


def suits(params: dict[str, Any], source: Inspected) -> bool:
    """Whether we can write what the job's `params` describe, and read its source."""
    options = params["options"]
    if params["encryption"] is not None or params["sparse_size"] is not None:
        return False
    if source.format != "raw" and shutil.which(PROGRAM) is None:
        return False
    if params["format"] == "vmdk":
        known = options.get("subformat") == "streamOptimized" and set(options) <= _VMDK_OWN
        return known and options.get("adapter_type", "ide") in _ADAPTERS
    if params["format"] != "qcow2" or not params["compress"]:
        return False
    others = {key: value for key, value in options.items() if key not in _QCOW2_OWN}
    return all(key in _QCOW2_KNOWN and value == _QCOW2_KNOWN[key] for key, value in others.items())


def encoder_name(params: dict[str, Any]) -> str:
    """The library that compresses on this host, for the result."""
    return (vmdk_encoder() if params["format"] == "vmdk" else qcow2_encoder()).name


def write(work: Work) -> bool:
    """Read the source as its guest sees it and write the image; False for block devices, which can't grow as files do."""
    if is_block_device(work.target.path):
        return False
    report = _reporter(work)
    handle = os.open(work.target.path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        with _content(work) as content:
            work.progress.phase("convert", total=content.size)
            _write(work, content, handle, report)
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


def _write(work: Work, content: GuestContent, handle: int, report: Report) -> None:
    options = completed(work.target.format, work.params["options"])
    if work.target.format == "vmdk":
        write_stream_vmdk(
            content,
            handle,
            adapter_type=options["adapter_type"],
            hardware_version=options["hwversion"],
            encoder=vmdk_encoder(),
            report=report,
        )
        return
    write_qcow2(
        content,
        handle,
        cluster_size=options["cluster_size"],
        version=_VERSIONS[options["compat"]],
        encoder=qcow2_encoder(),
        report=report,
    )


def _reporter(work: Work) -> Report:
    """Tells the progress, and holds the work back where a bandwidth is set."""
    limit, began, moved = work.params["bandwidth"], time.monotonic(), 0

    def report(end: int, read: int) -> None:
        nonlocal moved
        moved += read
        work.progress.update(end)
        fault_point("convert:while-writing")
        if limit:
            time.sleep(max(0.0, moved / limit - (time.monotonic() - began)))

    return report
