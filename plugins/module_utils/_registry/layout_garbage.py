# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a layout's blobs is still named, and the removal of the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .._catalog.digest import Descriptor, digest_of, read_descriptor
from .._catalog.image import MOST_MANIFEST, load_manifest
from .._catalog.media_types import INDEXES, MANIFESTS
from .._errors import NotFound, TransferError
from .._files import is_partial, sync_folder
from .layout_files import BlobFolder

_KNOWN = (*INDEXES, *MANIFESTS)
_MOST_DEPTH = 8


def reachable(roots: Iterable[Descriptor], blobs: BlobFolder) -> set[str]:
    """Digests of `roots` and of all that they name.

    Raises TransferError for a manifest that is damaged: what it names can't be known then, so nothing may be removed.
    """
    waiting = [(root, 0) for root in roots]
    seen, read = {root.digest for root, _depth in waiting}, set[str]()
    while waiting:
        found, depth = waiting.pop()
        if found.digest in read:
            continue
        read.add(found.digest)
        for named, is_manifest in _named_by(found, blobs, depth):
            seen.add(named.digest)
            if is_manifest:
                waiting.append((named, depth + 1))
    return seen


def _named_by(found: Descriptor, blobs: BlobFolder, depth: int) -> Iterator[tuple[Descriptor, bool]]:
    """What a manifest names, and whether that is a manifest itself."""
    where = f"manifest {found.digest}"
    if depth > _MOST_DEPTH:
        raise TransferError(f"{where} is named by an index of an index, more than {_MOST_DEPTH} times over.")
    for name, told in _told(_manifest(found, blobs, where)):
        named = read_descriptor(told, where=where)
        yield named, name == "manifests" or named.media_type in _KNOWN


def _told(manifest: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name in ("config", "layers", "manifests", "blobs"):
        value = manifest.get(name)
        for one in value if isinstance(value, list) else [] if value is None else [value]:
            yield name, one


def _manifest(found: Descriptor, blobs: BlobFolder, where: str) -> Mapping[str, Any]:
    """The manifest; nothing when it isn't there (others copy only what fits their machine), or is of no type that we know and no JSON.

    What others call a manifest names blobs too, whatever type they give it.
    """
    known, status = found.media_type in _KNOWN, blobs.status(found.digest)
    if status is None or (not known and status.st_size > MOST_MANIFEST):
        return {}
    data = _sound(found, status.st_size, blobs)
    if known:
        return load_manifest(data, where=where)
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _sound(found: Descriptor, size: int, blobs: BlobFolder) -> bytes:
    data = b"" if size > MOST_MANIFEST else blobs.read(found.digest, 0, size)
    if digest_of(data) != found.digest:
        raise TransferError(
            f"The manifest {found.digest} is damaged, so what it needs is not known and nothing is removed; remove or publish "
            f"that version first."
        )
    return data


def sweep(blobs: BlobFolder, *, kept: set[str], oldest: float, remove: bool = True) -> int:
    """Remove blobs that are not `kept` and were last written before `oldest`, and halves of killed writers; bytes freed.

    Nobody may be publishing meanwhile. Without `remove` they are only counted, and of the halves just those that are old.
    """
    freed, gone = 0, False
    for name, status in list(blobs.names()):
        old = status.st_mtime <= oldest
        if (old and f"sha256:{name}" not in kept) or (remove and is_partial(name)):
            freed += status.st_size
            gone = (remove and blobs.unlink(name)) or gone
    if gone:
        sync_folder(f"{blobs.path}/")
    return freed


def is_listed_child(digest: str, indexes: Iterable[Descriptor], blobs: BlobFolder) -> bool:
    """Whether one of `indexes` names the manifest."""
    for index in indexes:
        try:
            if any(named.digest == digest for named, _is_manifest in _named_by(index, blobs, 0)):
                return True
        except (NotFound, TransferError):
            continue
    return False
