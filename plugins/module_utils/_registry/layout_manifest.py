# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a manifest needs before it may be kept."""

from __future__ import annotations

from typing import Any, Callable

from .._catalog.digest import read_descriptor
from .._catalog.image import load_manifest
from .._errors import TransferError


def require_blobs(data: bytes, size_of: Callable[[str], int | None], *, where: str) -> None:
    """Raise TransferError when a blob that the manifest names isn't there, or has another size: it would name half an image."""
    manifest = load_manifest(data, where=where)
    layers = manifest.get("layers")
    for told in [*_listed(manifest.get("config")), *(layers if isinstance(layers, list) else [])]:
        blob = read_descriptor(told, where=where)
        found = size_of(blob.digest)
        if found != blob.size:
            state = "is not there" if found is None else f"has {found} bytes instead of {blob.size}"
            raise TransferError(f"{where}: the blob {blob.digest} {state}, so the manifest that names it is not kept.")


def _listed(value: Any) -> list[Any]:
    return [] if value is None else [value]
