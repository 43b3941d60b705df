# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Referrers in a registry: by its API, and by the tag that stands for it where there is none (OCI distribution specification 1.1,
"Listing Referrers" and "Referrers tag schema").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote

from .._catalog.digest import Descriptor, read_descriptor
from .._catalog.media_types import INDEX
from .._catalog.tags import referrers_tag
from .._errors import ImageOpsError, NotFound, TransferError
from .paging import MOST_PAGE, pages
from .referrers import index_of, listed_in, of_type, referrer_of
from .server import Asked, Server

# Two that write the index at once: who was overwritten writes again.
_ROUNDS = 5
# What registries without this API answer to it.
_NO_API = (400, 404, 405, 501)


class Manifests(Protocol):
    """What of a store is needed here."""

    where: str

    def manifest(self, version: str) -> tuple[Descriptor, bytes]:
        """A manifest by tag or digest."""

    def write_manifest(self, data: bytes, media_type: str, *, tag: str = "") -> Descriptor:
        """Keep a manifest."""

    def remove_manifest(self, digest: str) -> None:
        """Forget a manifest and its tags."""


class Referrers:
    """Of one repository, whose API is below `path`."""

    def __init__(self, server: Server, path: str, store: Manifests) -> None:
        self._server = server
        self._path = path
        self._store = store
        self._has_api = True

    def find(self, digest: str, artifact_type: str) -> Sequence[Descriptor]:
        """Manifests whose subject is `digest`, by the API and by the tag: others may know only one of both."""
        _index, listed = self._index(digest)
        return of_type([*self._by_api(digest, artifact_type), *listed], artifact_type)

    def add(self, subject: str, data: bytes, media_type: str) -> None:
        """Let the tag's index name the manifest `data`."""
        new = referrer_of(data, media_type)
        self._change(subject, new.digest, [new])

    def remove(self, subject: str, digest: str) -> None:
        """Take a manifest out of the tag's index, when it is in there."""
        self._change(subject, digest, [])

    def _change(self, subject: str, digest: str, instead: Sequence[Descriptor]) -> None:
        """Let the index name `instead` of what it says of `digest`, and look whether somebody else has overwritten that."""
        for _round in range(_ROUNDS):
            found, listed = self._index(subject)
            if any(one.digest == digest for one in listed) == bool(instead):
                return
            rest = [*(one for one in listed if one.digest != digest), *instead]
            if rest:
                self._store.write_manifest(index_of(rest), INDEX, tag=referrers_tag(subject))
            else:
                self._store.remove_manifest(found)
        raise TransferError(
            f"{self._store.where}: others change the list of what refers to {subject} again and again; run the task again."
        )

    def _by_api(self, digest: str, artifact_type: str) -> list[Descriptor]:
        if not self._has_api:
            return []
        query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
        asked = Asked("GET", f"{self._path}/referrers/{digest}{query}", headers={"Accept": INDEX}, most=MOST_PAGE)
        found: list[Descriptor] = []
        try:
            for page, _headers in pages(self._server, asked):
                listed = page.get("manifests")
                found += [read_descriptor(told, where=self._store.where) for told in listed or []]
        except ImageOpsError as error:
            if error.details.get("status") not in _NO_API:
                raise
            self._has_api = False
        return found

    def _index(self, digest: str) -> tuple[str, list[Descriptor]]:
        """Digest and content of the index that has the tag; nothing when there is none."""
        try:
            found, data = self._store.manifest(referrers_tag(digest))
        except NotFound:
            return "", []
        return found.digest, listed_in(data, where=self._store.where)
