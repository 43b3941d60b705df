# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server of images shows: a layout by the reading part of the OCI distribution API and as files, or a cache of packs.

Of what is asked only digests and two fixed names reach the file system.
"""

from __future__ import annotations

import functools
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Callable, Protocol
from urllib.parse import quote

from .._catalog.digest import is_digest
from .._catalog.image import MOST_MANIFEST
from .._catalog.media_types import INDEX
from .._errors import NotFound
from .._jobs.clock import Clock
from .layout import LayoutStore
from .layout_files import BlobFolder, read_below
from .layout_index import HEADER, NAME
from .pack_cache import PackCache
from .referrers import index_of

# Whatever name of a repository is asked for, it is the one that is here.
_NAME = r"(?:/[a-z0-9][a-z0-9._-]*)+"
_API = re.compile(rf"/v2{_NAME}/(manifests|blobs|tags|referrers)/([A-Za-z0-9_][A-Za-z0-9._:-]{{0,199}})")
_FILE = re.compile(rf"(?:{_NAME})?/(?:blobs/sha256/(?P<blob>[0-9a-f]{{64}})|(?P<small>{re.escape(NAME)}|{HEADER}))")
_STREAM = "application/octet-stream"
_JSON = "application/json"
_MOST_TAGS = 10_000
_INTERVAL = 0.02
MOST_WAIT = 120.0


def _at_once(offset: int, length: int, wait: float) -> bool:
    """For files that are there as a whole."""
    return True


@dataclass(frozen=True)
class Found:
    """A file to send.

    Of a file whose `size` isn't known only parts can be asked for. `ready` tells whether a part is there, or comes within some seconds.
    """

    open: Callable[[], BinaryIO]
    size: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[int, int, float], bool] = _at_once


class Content(Protocol):
    """What a server shows."""

    def find(self, path: str, query: Mapping[str, str]) -> Found:
        """What is at `path`; raises NotFound."""

    def used(self) -> float:
        """When what is shown was last added to (seconds since the epoch)."""


class LayoutContent:
    """The OCI image layout at `path`, under any name of a repository."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._store = LayoutStore(path)
        self._blobs = BlobFolder(path)

    def find(self, path: str, query: Mapping[str, str]) -> Found:
        if path in ("/v2", "/v2/"):
            return _text(b"{}", _JSON)
        if file := _FILE.fullmatch(path):
            return self._blob(f"sha256:{file['blob']}") if file["blob"] else _text(self._small(file["small"]), _JSON)
        asked = _API.fullmatch(path)
        if not asked:
            raise NotFound("There is no such file here.")
        kind, name = asked.groups()
        if kind == "blobs":
            return self._blob(name)
        if kind == "manifests":
            return self._manifest(name)
        return self._tags(query) if kind == "tags" else self._referrers(name, query)

    def used(self) -> float:
        return 0.0

    def _small(self, name: str) -> bytes:
        try:
            return read_below(self._path, name, most=MOST_MANIFEST)
        except FileNotFoundError:
            raise NotFound("There is no catalog here yet.") from None

    def _blob(self, digest: str) -> Found:
        if not is_digest(digest):
            raise NotFound("Blobs are named by sha256 digests.")
        try:
            stream = self._blobs.open(digest)
        except FileNotFoundError:
            raise NotFound("There is no catalog here yet.") from None
        headers = {"Content-Type": _STREAM, "Docker-Content-Digest": digest, "ETag": f'"{digest}"'}
        return Found(lambda: stream, os.fstat(stream.fileno()).st_size, headers)

    def _manifest(self, version: str) -> Found:
        found, data = self._store.manifest(version)
        return _text(data, found.media_type, {"Docker-Content-Digest": found.digest, "ETag": f'"{found.digest}"'})

    def _tags(self, query: Mapping[str, str]) -> Found:
        names = sorted(name for name in self._store.tags() if name > query.get("last", ""))
        asked = query.get("n", "")
        count = min(int(asked), _MOST_TAGS) if asked.isdecimal() and len(asked) < 9 else _MOST_TAGS
        page = names[:count]
        more = {"Link": _next_page(count, page[-1])} if page and len(names) > count else {}
        return _text(json.dumps({"name": "images", "tags": page}).encode(), _JSON, more)

    def _referrers(self, digest: str, query: Mapping[str, str]) -> Found:
        kind = query.get("artifactType", "")
        filtered = {"OCI-Filters-Applied": "artifactType"} if kind else {}
        return _text(index_of(self._store.referrers(digest, kind)), INDEX, filtered)


class CacheContent:
    """A cache of packs: only parts that are there, or come while the asker waits."""

    def __init__(self, folder: str, clock: Clock) -> None:
        self._cache = PackCache(folder)
        self._clock = clock

    def find(self, path: str, query: Mapping[str, str]) -> Found:
        if path in ("/v2", "/v2/"):
            return _text(b"{}", _JSON)
        digest = self._digest(path)

        def ready(offset: int, length: int, wait: float) -> bool:
            there = functools.partial(self._cache.has, digest, offset, length)
            return self._clock.wait_until(there, min(wait, MOST_WAIT), interval=_INTERVAL)

        headers = {"Content-Type": _STREAM, "Docker-Content-Digest": digest}
        return Found(lambda: self._cache.open(digest), None, headers, ready)

    def used(self) -> float:
        return self._cache.changed()

    def _digest(self, path: str) -> str:
        asked = _API.fullmatch(path)
        if not asked or asked[1] != "blobs" or not is_digest(asked[2]):
            raise NotFound("Only parts of packs are here.")
        return asked[2]


def _next_page(count: int, last: str) -> str:
    """Others may have given tags that would be more than text in a header."""
    return f'<?n={count}&last={quote(last, safe="")}>; rel="next"'


def _text(data: bytes, media_type: str, headers: Mapping[str, str] | None = None) -> Found:
    return Found(lambda: io.BytesIO(data), len(data), {"Content-Type": media_type, **(headers or {})})
