# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a repository still holds what an image needs."""

from __future__ import annotations

from .._errors import NotFound, TransferError
from .._transfer.stream import Broken
from .interface import Store
from .layout_manifest import require_blobs


def is_whole(store: Store, digest: str) -> bool:
    """Whether the image's manifest is sound, and all its blobs are there with their sizes; none of them is read."""
    try:
        _found, data = store.manifest(digest)
        require_blobs(data, store.blob_size, where=store.where)
    except Broken:
        raise
    except (NotFound, TransferError):
        return False
    return True
