# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The block nodes of a backing chain, in full: every node names its driver and its file, so that QEMU probes and opens nothing
that our parsers haven't read (qapi/block-core.json, BlockdevOptions).
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from typing import Any

from .image import Image, takes_direct_io
from .node import is_block_device

# Formats whose nodes have a backing child.
_WITH_BACKING = ("qcow2", "vmdk", "qed")


def layer(number: int) -> str:
    """The node name of a chain's layer; 0 is the top."""
    return f"layer{number}"


def chain_nodes(images: Sequence[Image], *, writable: Collection[int] = ()) -> list[dict[str, Any]]:
    """The nodes of a chain given from the top down, in the order in which they are added; `writable` are numbers of layers."""
    return [
        _format_node(image, number, last=number == len(images) - 1, write=number in writable)
        for number, image in reversed(list(enumerate(images)))
    ]


def _format_node(image: Image, number: int, *, last: bool, write: bool) -> dict[str, Any]:
    node: dict[str, Any] = {
        "driver": image.driver,
        "node-name": layer(number),
        "file": file_node(image.path, node_name=f"file{number}", write=write),
        **_access(write),
    }
    if write:
        node["detect-zeroes"] = "unmap"
    if image.driver in _WITH_BACKING:
        node["backing"] = None if last else layer(number + 1)
    return node


def file_node(path: str, *, node_name: str, write: bool) -> dict[str, Any]:
    """The protocol node of a file or block device; what is written goes past the page cache where that works."""
    direct = write and (is_block_device(path) or takes_direct_io(os.path.dirname(path)))
    return {
        "driver": _driver(path),
        "node-name": node_name,
        "filename": path,
        "cache": {"direct": direct},
        **_access(write),
    }


def _driver(path: str) -> str:
    """QEMU's driver `file` refuses block devices."""
    return "host_device" if is_block_device(path) else "file"


def _access(write: bool) -> dict[str, Any]:
    """Read-only is said outright: otherwise QEMU falls back to it when a file can't be written."""
    return {"read-only": not write, "auto-read-only": False, "discard": "unmap"}


def pseudo_name(images: Sequence[Image]) -> str:
    """A chain as one name for qemu-img that follows no name in a header."""
    node: dict[str, Any] = {}
    for image in reversed(images):
        below = {"backing": node or None} if image.driver in _WITH_BACKING else {}
        node = {"driver": image.driver, "file": {"driver": _driver(image.path), "filename": image.path}, **below}
    return "json:" + json.dumps(node)
