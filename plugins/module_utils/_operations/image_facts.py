# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an image tells of itself, as plain values."""

from __future__ import annotations

from typing import Any

from .._catalog.image import DiskEntry, ImageConfig
from .._catalog.segment import BLOCK_SIZE
from .._registry.images import LoadedImage


def facts_of(image: LoadedImage | None) -> dict[str, Any]:
    """Disks, sizes and what its publisher said; nothing of what is no image of ours."""
    if image is None:
        return {}
    config = image.config
    return {
        "created": config.created,
        "tool": config.tool,
        "size": {
            "guest": sum(disk.size for disk in config.disks),
            "used": sum(disk.blocks * BLOCK_SIZE for disk in config.disks),
        },
        "packs": len(image.manifest.packs),
        "disks": [_disk(disk) for disk in config.disks],
        "vm": _vm(config),
        "os": dict(config.os),
        "labels": dict(config.labels),
        "provenance": dict(config.provenance),
    }


def _disk(disk: DiskEntry) -> dict[str, Any]:
    return {
        "name": disk.name,
        "size": disk.size,
        "used": disk.blocks * BLOCK_SIZE,
        "format": disk.format,
        "options": dict(disk.options),
        "content": disk.content,
    }


def _vm(config: ImageConfig) -> dict[str, Any]:
    """What is known of the machine but its whole definition, which is long."""
    told = {key: value for key, value in config.vm.items() if key != "xml"}
    return {**told, "definition": "xml" in config.vm} if config.vm else {}
