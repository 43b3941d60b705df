# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own writers of images: which format and options they can write, and how an operation lets them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable

from .._formats.deflate import qcow2_encoder, vmdk_encoder
from .._formats.encoder import Encoder
from .._formats.libzstd import zstd_encoder
from .._formats.qcow2_writer import write_qcow2
from .._formats.sparse_vmdk_writer import write_sparse_vmdk
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
    "vmdk": {"toolsversion": TOOLS_VERSION, "zeroed_grain": False, "compat6": False},
}
_CHOSEN = {
    "qcow2": {"cluster_size", "compat", "compression_type"},
    "vmdk": {"subformat", "adapter_type", "hwversion"},
}
_STREAM, _SPARSE = "streamOptimized", "monolithicSparse"
_ADAPTERS = {"ide", "lsilogic", "buslogic"}
_VERSIONS = {"0.10": 2, "1.1": 3}
# What ends a name in a descriptor, or a line of it.
_NO_NAME = re.compile(r'["\x00-\x1f\x7f\ud800-\udfff]')


@dataclass(frozen=True)
class Writer:
    """A writer of ours: `write(content, handle, report=…)` fills the empty file `handle`, durably.

    `encoder` is the library that compresses, empty for a format without compression.
    """

    write: Callable[..., None]
    encoder: str = ""

    @property
    def details(self) -> dict[str, str]:
        """What a result tells of it."""
        return {"encoder": self.encoder} if self.encoder else {}


def writer_for(format: str, options: Mapping[str, Any], *, compress: bool, path: str) -> Writer | None:
    """What writes an image of `format` with these creation options, to be called `path`; None when no writer of ours does.

    It compresses with the fastest library that this host has.
    """
    if not _is_ours(format, options):
        return None
    values = completed(format, options)
    if format == "qcow2":
        return _qcow2(values) if compress else None
    # What an image says of itself can be anything.
    if values["adapter_type"] not in _ADAPTERS or not isinstance(values["hwversion"], int):
        return None
    hardware = {"adapter_type": values["adapter_type"], "hardware_version": values["hwversion"]}
    if values["subformat"] == _STREAM:
        return _compressing(vmdk_encoder(), partial(write_stream_vmdk, **hardware))
    if values["subformat"] == _SPARSE and not compress:
        name = _NO_NAME.sub("_", os.path.basename(path))
        return Writer(partial(write_sparse_vmdk, name=name, **hardware))
    return None


def _qcow2(values: Mapping[str, Any]) -> Writer | None:
    encoder = zstd_encoder() if values["compression_type"] == "zstd" else qcow2_encoder()
    version = _VERSIONS[values["compat"]]
    return _compressing(encoder, partial(write_qcow2, cluster_size=values["cluster_size"], version=version))


def _compressing(encoder: Encoder | None, write: Callable[..., None]) -> Writer | None:
    return Writer(partial(write, encoder=encoder), encoder.name) if encoder else None


def _is_ours(format: str, options: Mapping[str, Any]) -> bool:
    """Whether only what we choose ourselves differs from what our images have."""
    others = {key: value for key, value in options.items() if key not in _CHOSEN.get(format, ())}
    return format in _KNOWN and all(
        key in _KNOWN[format] and value == _KNOWN[format][key] for key, value in others.items()
    )
