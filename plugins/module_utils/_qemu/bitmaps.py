# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Persistent dirty bitmaps of a qcow2 image that nobody else has open; the image is the daemon's top layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .block_graph import layer
from .storage_daemon import StorageDaemon


@dataclass(frozen=True)
class DirtyBitmap:
    """A bitmap as QEMU tells it; `inconsistent` ones were not saved cleanly and can only be removed."""

    name: str
    granularity: int
    dirty_bytes: int
    recording: bool
    inconsistent: bool


def list_bitmaps(daemon: StorageDaemon) -> list[DirtyBitmap]:
    """The bitmaps of the image."""
    nodes = daemon.execute("query-named-block-nodes", {"flat": True})
    found = [bitmap for node in nodes if node["node-name"] == layer(0) for bitmap in node.get("dirty-bitmaps", [])]
    return [
        DirtyBitmap(
            name=bitmap["name"],
            granularity=bitmap["granularity"],
            dirty_bytes=bitmap["count"],
            recording=bitmap["recording"],
            inconsistent=bitmap.get("inconsistent", False),
        )
        for bitmap in found
    ]


def add_bitmap(daemon: StorageDaemon, name: str, *, granularity: int | None = None) -> None:
    """A new bitmap that stays in the image; `granularity` in bytes."""
    grain = {"granularity": granularity} if granularity else {}
    daemon.execute("block-dirty-bitmap-add", {**_named(name), "persistent": True, **grain})


def remove_bitmap(daemon: StorageDaemon, name: str) -> None:
    """Remove a bitmap, an inconsistent one too."""
    daemon.execute("block-dirty-bitmap-remove", _named(name))


def clear_bitmap(daemon: StorageDaemon, name: str) -> None:
    """Let a bitmap say that nothing was written."""
    daemon.execute("block-dirty-bitmap-clear", _named(name))


def merge_bitmaps(daemon: StorageDaemon, target: str, sources: Sequence[str]) -> None:
    """Add to the bitmap `target` what the `sources` say."""
    daemon.execute("block-dirty-bitmap-merge", {"node": layer(0), "target": target, "bitmaps": list(sources)})


def _named(name: str) -> dict[str, str]:
    return {"node": layer(0), "name": name}
