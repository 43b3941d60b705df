# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Params of publish jobs, and the work done in this process, on images in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import ImageConfig
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import parse_reference
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_publish_job
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_request import (
    PublishRequest,
    disk_of_file,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore


def publish_request(catalog: Path, *paths: Path, tag: str = "1", format: str = "raw", **changed: Any) -> PublishRequest:
    """A request to publish the files."""
    disks = [
        disk_of_file({"path": str(path), "format": format, "name": None, "backing": None}, number)
        for number, path in enumerate(paths)
    ]
    given: dict[str, Any] = {
        "reference": parse_reference(f"dir:{catalog}:{tag}", option="image"),
        "access": StoreAccess(),
        "disks": disks,
        "vm": None,
        "labels": {},
        "os": {},
        "tags": [],
        "aliases": [],
        "base": [],
        "move_tag": False,
        "level": 3,
        "layout": "image",
        "bandwidth": None,
    }
    return PublishRequest(**{**given, **changed})


def publish(catalog: Path, *paths: Path, **changed: Any) -> dict[str, Any]:
    """Do the job here; its facts."""
    params = publish_request(catalog, *paths, **changed).job("1").params
    return image_publish_job.publish(params, Progress(JobState("publish-1", "publish", ""), Clock()), -1)


def published(catalog: Path, tag: str = "1") -> ImageConfig:
    """The configuration of an image."""
    return load_image(LayoutStore(str(catalog)), tag).config


def bytes_of_image(catalog: Path, disk: str = "vda", tag: str = "1") -> bytes:
    """All bytes of a disk, put together block by block."""
    from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE
    from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_segments
    from ansible_collections.imageops.fleet.plugins.module_utils._transfer.zstd import FrameDecompressor

    store = LayoutStore(str(catalog))
    image = load_image(store, tag)
    entry = image.config.disk(disk)
    assert entry is not None
    found, unpack = bytearray(-(-entry.size // BLOCK_SIZE) * BLOCK_SIZE), FrameDecompressor(BLOCK_SIZE)
    for segment in load_segments(store, image, entry):
        for block in segment:
            frame = store.read_blob(block.pack, block.offset, block.length)
            found[block.number * BLOCK_SIZE : (block.number + 1) * BLOCK_SIZE] = unpack.decompress(frame)
    return bytes(found[: entry.size])
