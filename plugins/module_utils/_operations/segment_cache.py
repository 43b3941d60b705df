# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Segments of block indexes that this host has read once: the next version of an image shares most of them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection

from .._catalog.digest import digest_of
from .._files import remove, state_dir, state_top, write_bytes

_FOLDER = "segments"
# What no image here names may belong to a pull that is under way.
_KEPT_SECONDS = 7 * 86400.0


class SegmentCache:
    """Blobs by digest, as `load_segments` wants a cache; one that doesn't write only looks."""

    def __init__(self, *, writes: bool = True) -> None:
        self._writes = writes

    def get(self, digest: str) -> bytes | None:
        """The blob when it is here and whole."""
        try:
            with open(os.path.join(state_top(), _FOLDER, _name(digest)), "rb") as stream:
                data = stream.read()
        except FileNotFoundError:
            return None
        return data if digest_of(data) == digest else None

    def put(self, digest: str, data: bytes) -> None:
        """Keep a blob; what a power cut takes is fetched again."""
        if self._writes:
            write_bytes(os.path.join(state_dir(_FOLDER), _name(digest)), data, durable=False)


def tidy_segments(named: Collection[str], now: float) -> None:
    """Remove blobs that no image here names, and that are old."""
    names = {_name(digest) for digest in named}
    folder = state_dir(_FOLDER)
    for entry in os.scandir(folder):
        # What another pull is just giving its name, or removed itself, is gone under the old one.
        with contextlib.suppress(FileNotFoundError):
            if entry.name not in names and now - entry.stat(follow_symlinks=False).st_mtime > _KEPT_SECONDS:
                remove(entry.path)


def _name(digest: str) -> str:
    return digest.partition(":")[2]
