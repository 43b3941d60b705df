# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests and tags are removed from a registry (OCI distribution specification 1.1, "Content Management")."""

from __future__ import annotations

import json
import os
from typing import Protocol
from urllib.parse import quote

from .._catalog.artifact import EMPTY_CONTENT
from .._catalog.digest import Descriptor, digest_of
from .._catalog.media_types import EMPTY, MANIFEST
from .._errors import ImageOpsError, NotFound, Unsupported
from .._faults import fault_point
from .auth import DELETE
from .server import Asked, Server

# How registries say that they remove manifests by digest only.
_NOT_BY_TAG = (400, 405, 501)


class Writes(Protocol):
    """What of a store is needed here."""

    where: str

    def resolve(self, version: str) -> Descriptor:
        """What a tag names."""

    def write_blob(self, data: bytes, digest: str) -> None:
        """Keep a blob."""

    def write_manifest(self, data: bytes, media_type: str, *, tag: str = "") -> Descriptor:
        """Keep a manifest."""


class Removal:
    """From one repository, whose API is below `path`."""

    def __init__(self, server: Server, path: str, store: Writes) -> None:
        self._server = server
        self._path = path
        self._store = store

    def manifest(self, digest: str) -> None:
        """Remove a manifest and its tags; nothing is done when it isn't there."""
        try:
            self._delete(digest)
        except NotFound:
            return
        except Unsupported as error:
            raise self._forbidden(error) from None

    def tag(self, tag: str) -> None:
        """Remove a tag; nothing is done when it isn't there."""
        try:
            self._store.resolve(tag)
            self._delete(tag)
        except NotFound:
            return
        except ImageOpsError as error:
            if error.details.get("status") not in _NOT_BY_TAG:
                raise
            self._by_stand_in(tag)

    def _by_stand_in(self, tag: str) -> None:
        """Let the tag name something else for a moment, and remove that: what it named keeps its other tags."""
        self.require()
        stand_in = _stand_in()
        self._store.write_blob(EMPTY_CONTENT, digest_of(EMPTY_CONTENT))
        self._store.write_manifest(stand_in, MANIFEST, tag=tag)
        fault_point("registry:stand-in")
        self.manifest(digest_of(stand_in))

    def require(self) -> None:
        """Raise Unsupported where nothing can be removed; to be asked before anything is done."""
        self.manifest(digest_of(os.urandom(32)))

    def _delete(self, version: str) -> None:
        url = f"{self._path}/manifests/{quote(version, safe=':')}"
        self._server.ask(Asked("DELETE", url, DELETE, act="removed"))

    def _forbidden(self, error: Unsupported) -> Unsupported:
        return Unsupported(
            f"{self._store.where}: the registry removes nothing; let its operator allow it (Docker's registry: storage.delete.enabled).",
            **error.details,
        )


def _stand_in() -> bytes:
    """A manifest that nobody else has: removing it removes nothing else."""
    empty = Descriptor(EMPTY, digest_of(EMPTY_CONTENT), len(EMPTY_CONTENT)).as_dict()
    told = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "artifactType": EMPTY,
        "config": empty,
        "layers": [empty],
        "annotations": {"imageops.fleet.stand-in": os.urandom(16).hex()},
    }
    return json.dumps(told).encode()
