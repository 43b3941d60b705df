# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of a repository as they are found: images of ours, and what else has a tag."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from .._catalog.digest import Descriptor
from .._catalog.image import load_manifest
from .._catalog.media_types import ALIASES, SIGNATURE
from .._catalog.retention import Version
from .._catalog.tags import version_tags
from .._errors import NotFound, TransferError, Unsupported
from .._registry.images import LoadedImage, load_image
from .._registry.interface import Store
from .._registry.referrers import artifact_type_in, subject_in
from .._transfer.stream import Broken

_THREADS = 8
_BESIDE = (SIGNATURE, ALIASES)


@dataclass(frozen=True)
class FoundVersion:
    """What has a tag, or lost it; `image` is None for what isn't ours or can't be read, and `problem` says why.

    `names` are digests of manifests that it names, as an index does.
    """

    digest: str
    tags: tuple[str, ...] = ()
    image: LoadedImage | None = None
    arrived: float | None = None
    problem: str = ""
    names: frozenset[str] = field(default_factory=frozenset)

    @property
    def created(self) -> float | None:
        return self.image.created if self.image else None

    @property
    def blobs(self) -> dict[str, int]:
        """The size of each blob that the image needs, by digest, its manifest included."""
        if not self.image:
            return {}
        manifest = self.image.manifest
        blobs: tuple[Descriptor, ...] = (manifest.config, *manifest.layers)
        return {self.digest: len(manifest.as_bytes()), **{blob.digest: blob.size for blob in blobs}}

    def as_version(self) -> Version:
        """What retention asks about."""
        return Version(self.digest, self.tags, self.created, self.arrived, self.image is not None)


def find_versions(store: Store, tags: Mapping[str, str]) -> list[FoundVersion]:
    """All that the repository's `tags` name, and manifests that lost their tag; not what is kept beside images."""
    by_digest: dict[str, list[str]] = {digest: [] for digest in store.untagged()}
    for tag, digest in sorted(version_tags(tags).items()):
        by_digest.setdefault(digest, []).append(tag)
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:
        found = pool.map(lambda each: find_version(store, each[0], each[1]), by_digest.items())
        return [version for version in found if version is not None]


def find_version(store: Store, digest: str, tags: Iterable[str]) -> FoundVersion | None:
    """One version; None for what is gone by now, or is kept beside images."""
    arrived = store.created(digest)
    try:
        return FoundVersion(digest, tuple(tags), load_image(store, digest), arrived)
    except NotFound:
        return None
    except Broken:
        raise
    except Unsupported as error:
        return _foreign(store, digest, tuple(tags), arrived, str(error))
    except TransferError as error:
        return FoundVersion(digest, tuple(tags), None, arrived, str(error))


def _foreign(
    store: Store, digest: str, tags: tuple[str, ...], arrived: float | None, problem: str
) -> FoundVersion | None:
    _descriptor, data = store.manifest(digest)
    found = load_manifest(data, where=f"{store.where}@{digest}")
    if not tags and (artifact_type_in(found) in _BESIDE or subject_in(data)):
        return None
    return FoundVersion(digest, tags, None, arrived, problem, _named_in(found))


def _named_in(manifest: Mapping[str, Any]) -> frozenset[str]:
    listed = manifest.get("manifests")
    entries = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
    return frozenset(str(entry.get("digest")) for entry in entries)


def own_bytes(version: FoundVersion, others: Iterable[FoundVersion]) -> int:
    """Bytes that only this version needs, which removing it frees."""
    return needed_only_by([version], others)


def needed_only_by(versions: Iterable[FoundVersion], others: Iterable[FoundVersion]) -> int:
    """Bytes that these versions need and none of the others does."""
    needed = {digest: size for version in versions for digest, size in version.blobs.items()}
    for other in others:
        for digest in other.blobs:
            needed.pop(digest, None)
    return sum(needed.values())
