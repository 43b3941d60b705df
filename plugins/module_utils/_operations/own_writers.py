# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own writers of images: which format and options they can write, and how an operation lets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._formats.compress_pool import Report
from .._formats.deflate import qcow2_encoder, vmdk_encoder
from .._formats.encoder import Encoder
from .._formats.guest_content import GuestContent
from .._formats.libzstd import zstd_encoder
from .._formats.qcow2_writer import write_qcow2
from .._formats.stream_vmdk_writer import write_stream_vmdk
from .._formats.vmdk_text import TOOLS_VERSION
from .._qemu.options import completed

METHOD = "writer"
# What our images have without being asked; other values are QEMU's to write.
_KNOWN: dict[str, dict[str, Any]] = {
    "qcow2": {
        "preallocation": "off",
        "refcount_bits": 16,
        "lazy_refcounts": False,
        "extended_l2": False,
    },
    "vmdk": {"subformat": "streamOptimized", "toolsversion": TOOLS_VERSION, "zeroed_grain": False},
}
_CHOSEN = {"qcow2": {"cluster_size", "compat", "compression_type"}, "vmdk": {"adapter_type", "hwversion"}}
_ADAPTERS = {"ide", "lsilogic", "buslogic"}
_VERSIONS = {"0.10": 2, "1.1": 3}


def encoder_for(format: str, options: Mapping[str, Any], *, compress: bool) -> Encoder | None:
    """What a writer of ours compresses an image of `format` with these creation options with: the fastest that this host has.

    None when no writer of ours makes such an image.
    """
    if not _is_ours(format, options, compress=compress):
        return None
    if format == "vmdk":
        return vmdk_encoder()
    return zstd_encoder() if options.get("compression_type") == "zstd" else qcow2_encoder()


def _is_ours(format: str, options: Mapping[str, Any], *, compress: bool) -> bool:
    if format not in _KNOWN or (format == "qcow2" and not compress):
        return False
    if format == "vmdk" and not _is_stream(options):
        return False
    others = {key: value for key, value in options.items() if key not in _CHOSEN[format]}
    return all(key in _KNOWN[format] and value == _KNOWN[format][key] for key, value in others.items())


def _is_stream(options: Mapping[str, Any]) -> bool:
    return options.get("subformat") == "streamOptimized" and options.get("adapter_type", "ide") in _ADAPTERS


def write_image(
    content: GuestContent, handle: int, *, encoder: Encoder, format: str, options: Mapping[str, Any], report: Report
) -> None:
    """Write `content` into the empty file `handle`, durably."""
    values = completed(format, options)
    if format == "vmdk":
        write_stream_vmdk(
            content,
            handle,
            adapter_type=values["adapter_type"],
            hardware_version=values["hwversion"],
            encoder=encoder,
            report=report,
        )
        return
    write_qcow2(
        content,
        handle,
        cluster_size=values["cluster_size"],
        version=_VERSIONS[values["compat"]],
        encoder=encoder,
        report=report,
    )
