# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog on a web server that shows an OCI image layout: read only, nothing but files and Range."""

from __future__ import annotations

from .._catalog.digest import digest_bytes, is_digest
from .._catalog.image import MOST_MANIFEST, load_manifest
from .._errors import NotFound, TransferError
from .._jobs.clock import Clock
from .._transfer.url import HTTP, parse_url
from .attempts import ATTEMPTS
from .interface import StoreAccess
from .layout_index import NAME, Entry, entries_in
from .listed import ListedManifests
from .parts import read_part
from .read_only import ReadOnly
from .server import Asked, Server

# A store is opened for one task, which sees the catalog as it was; a job goes on for longer.
_KEPT_SECONDS = 10.0


class WebStore(ListedManifests, ReadOnly):
    """The layout below `url`."""

    def __init__(self, url: str, access: StoreAccess, *, clock: Clock | None = None, attempts: int = ATTEMPTS) -> None:
        super().__init__(url)
        base = parse_url(f"{url}/", option="image", schemes=HTTP)
        self._path = base.path
        self._clock = clock or Clock()
        self._server = Server(base, access, self._clock, attempts=attempts)
        self._kept: tuple[float, list[Entry]] | None = None

    def _entries(self) -> list[Entry]:
        """The index, asked for once for many questions; with thousands of versions it has megabytes."""
        kept, now = self._kept, self._clock.now()
        if kept is None or now - kept[0] > _KEPT_SECONDS:
            kept = self._kept = (now, self._listed())
        return kept[1]

    def _listed(self) -> list[Entry]:
        try:
            answer = self._server.ask(Asked("GET", f"{self._path}{NAME}", most=MOST_MANIFEST))
        except NotFound:
            raise NotFound(f"{self.where} shows no OCI image layout: it has no {NAME}.") from None
        where = f"{self.where}/{NAME}"
        return entries_in(load_manifest(answer.body, where=where), where)

    def _read_manifest(self, digest: str) -> bytes:
        return self._server.ask(Asked("GET", self._blob(digest), most=MOST_MANIFEST)).body

    def read_blob(self, digest: str, offset: int, length: int) -> bytes:
        """Just these bytes of a blob."""
        return read_part(self._server, self._blob(digest), offset, length)

    def blob_size(self, digest: str) -> int | None:
        """Size of a blob that is there."""
        try:
            answer = self._server.ask(Asked("HEAD", self._blob(digest)))
        except NotFound:
            return None
        size = answer.headers.get("Content-Length", "")
        if not size.isdecimal():
            raise TransferError(f"{self.where}: the server does not tell the size of the blob {digest}.")
        return int(size)

    def _blob(self, digest: str) -> str:
        if not is_digest(digest):
            raise TransferError(f"'{digest[:80]}' is no sha256 digest, so it names no blob.")
        return f"{self._path}blobs/sha256/{digest_bytes(digest).hex()}"

    def created(self, digest: str) -> float | None:
        """A web server can't tell."""
        return None

    def close(self) -> None:
        """End all connections."""
        self._server.close()
