# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clone's disk as plain values, as the job gets it, and back: images are inspected again before an engine reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from .inspection import Inspected
from .vm_clone_copy import CloneDisk
from .vm_clone_disk import inspected


def values_of(disk: CloneDisk) -> dict[str, Any]:
    """The values that name the disk."""
    base = {"path": disk.base.path, "format": disk.base.format} if disk.base else None
    return {
        "vm": disk.vm,
        "target": disk.target,
        "path": disk.path,
        "source": {"path": disk.source.path, "format": disk.source.format, "size": disk.source.virtual_size},
        "base": base,
        "top": disk.top,
        "pulled": disk.pulled,
        "snapshot": disk.snapshot,
        "edited": disk.edited,
        "of": disk.of,
    }


def disk_from(values: dict[str, Any]) -> CloneDisk:
    """The disk that `values_of` gave; raises UnsafeImage for an image that isn't what it was."""
    source = values["source"]
    disk = CloneDisk(
        values["vm"],
        values["target"],
        values["path"],
        Inspected(source["path"], source["format"], source["size"], (source["path"],)),
        top=values["top"],
        pulled=values["pulled"],
        snapshot=values["snapshot"],
        edited=values["edited"],
        of=values["of"],
    )
    if not disk.pulled:
        disk = replace(disk, source=inspected(source["path"], source["format"]))
    base = values["base"]
    return replace(disk, base=inspected(base["path"], base["format"])) if base else disk
