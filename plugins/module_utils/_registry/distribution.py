# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog in an OCI registry (OCI distribution specification 1.1)."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from .._catalog.digest import Descriptor, digest_of, is_digest
from .._catalog.image import MOST_MANIFEST
from .._catalog.media_types import INDEXES, MANIFESTS
from .._errors import NotFound, TransferError, Unsupported
from .._faults import fault_point
from .._jobs.clock import Clock
from .._transfer.url import HTTP, RemoteUrl, parse_url
from .attempts import ATTEMPTS
from .auth import PUSH
from .distribution_referrers import Referrers
from .distribution_removal import Removal
from .interface import StoreAccess
from .paging import MOST_PAGE, pages
from .parts import read_part
from .referrers import subject_in
from .server import Answer, Asked, Server
from .upload import Read, Upload

_ACCEPT = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
_TAGS_A_PAGE = 1000
_AT_ONCE = 8


class RegistryStore:
    """The repository `repository` of the registry at `place` (host and port)."""

    writable = True

    def __init__(
        self, place: str, repository: str, access: StoreAccess, *, clock: Clock | None = None, attempts: int = ATTEMPTS
    ) -> None:
        self.where = f"{place}/{repository}"
        self._access = access
        self._clock = clock or Clock()
        self._repository = repository
        self._path = f"/v2/{repository}"
        self._server = self._opened(place, attempts)
        self._referrers = Referrers(self._server, self._path, self)
        self._removal = Removal(self._server, self._path, self)

    def _opened(self, place: str, attempts: int) -> Server:
        """The registry by TLS, unless it is to be asked without, or is one of this host that has none."""
        url, plain = (parse_url(f"{scheme}://{place}/", option="image", schemes=HTTP) for scheme in ("https", "http"))
        if self._access.plain_http:
            url = plain
        spare = plain if _is_loopback(plain) else None
        return Server(url, self._access, self._clock, repository=self._repository, plain=spare, attempts=attempts)

    def resolve(self, version: str) -> Descriptor:
        """What a tag or digest names, by HEAD."""
        try:
            answer = self._server.ask(self._manifest_asked("HEAD", version))
        except NotFound:
            raise self._missing(version) from None
        digest, size = answer.headers.get("Docker-Content-Digest", ""), answer.headers.get("Content-Length", "")
        if not is_digest(digest) or not size.isdecimal() or (is_digest(version) and digest != version):
            return self.manifest(version)[0]
        return Descriptor(_media_type(answer), digest, int(size))

    def manifest(self, version: str) -> tuple[Descriptor, bytes]:
        """A manifest or index by tag or digest; its digest is checked."""
        try:
            answer = self._server.ask(self._manifest_asked("GET", version))
        except NotFound:
            raise self._missing(version) from None
        digest = digest_of(answer.body)
        if digest != (version if is_digest(version) else answer.headers.get("Docker-Content-Digest", digest)):
            raise TransferError(
                f"{self.where}: the manifest that the registry sent for '{version}' has another digest: it is damaged, or not what "
                f"was published."
            )
        return Descriptor(_media_type(answer), digest, len(answer.body)), answer.body

    def _manifest_asked(self, method: str, version: str) -> Asked:
        return Asked(method, f"{self._path}/manifests/{quote(version, safe=':')}", headers=_ACCEPT, most=MOST_MANIFEST)

    def _missing(self, version: str) -> NotFound:
        return NotFound(f"{self.where} has no image '{version}'.", status=404)

    def read_blob(self, digest: str, offset: int, length: int) -> bytes:
        """Just these bytes of a blob."""
        return read_part(self._server, self._blob(digest), offset, length)

    def doubt(self, digest: str) -> bool:
        """There is no other place to ask."""
        return False

    def blob_size(self, digest: str) -> int | None:
        """Size of a blob that is there."""
        try:
            answer = self._server.ask(Asked("HEAD", self._blob(digest)))
        except NotFound:
            return None
        size = answer.headers.get("Content-Length", "")
        if not size.isdecimal():
            raise TransferError(f"{self.where}: the registry does not tell the size of the blob {digest}.")
        return int(size)

    def _blob(self, digest: str) -> str:
        if not is_digest(digest):
            raise TransferError(f"'{digest[:80]}' is no sha256 digest, so it names no blob.")
        return f"{self._path}/blobs/{digest}"

    def write_blob(self, data: bytes, digest: str) -> None:
        """Keep a blob."""
        view = memoryview(data)
        self._send(digest, len(data), lambda at, count: view[at : at + count])

    def write_blob_file(self, path: str, digest: str, size: int) -> None:
        """Keep the content of a file."""
        with open(path, "rb") as stream:
            handle = stream.fileno()
            self._send(digest, size, lambda at, count: os.pread(handle, count, at))

    def _send(self, digest: str, size: int, read: Read) -> None:
        """Upload what isn't there, or only in part; raises TransferError when the registry keeps the part."""
        there = self.blob_size(digest)
        if there == size:
            return
        Upload(self._server, self._path, digest, size, read).run()
        kept = size if there is None else self.blob_size(digest)
        if kept != size:
            raise TransferError(
                f"{self.where}: the registry holds {kept} instead of {size} bytes of the blob {digest}, and keeps them though all of it was "
                f"sent again; remove the blob from the registry's storage, restart the registry, and publish again."
            )

    def write_manifest(
        self, data: bytes, media_type: str, *, tag: str = "", instead_of: str | None = None
    ) -> Descriptor:
        """Keep a manifest whose blobs are there, and let `tag` point at it."""
        if len(data) > MOST_MANIFEST:
            raise Unsupported(f"{self.where}: the manifest has {len(data)} bytes, and registries take {MOST_MANIFEST}.")
        digest = digest_of(data)
        url = f"{self._path}/manifests/{quote(tag or digest, safe=':')}"
        answer = self._server.ask(Asked("PUT", url, PUSH, {"Content-Type": media_type}, data, act="written"))
        told = answer.headers.get("Docker-Content-Digest", digest)
        if told != digest:
            raise TransferError(f"{self.where}: the registry kept the manifest {digest} as {told[:80]}.")
        if (subject := subject_in(data)) and answer.headers.get("OCI-Subject") != subject:
            fault_point("registry:before-listing")
            self._referrers.add(subject, data, media_type)
        return Descriptor(media_type, digest, len(data))

    def tags(self) -> Mapping[str, str]:
        """All tags and the digest that each points at; one HEAD a tag, some at once."""
        from concurrent.futures import ThreadPoolExecutor

        names = self._tag_names()
        with ThreadPoolExecutor(min(_AT_ONCE, max(1, len(names)))) as pool:
            found = dict(zip(names, pool.map(self._digest_of, names)))
        return {tag: digest for tag, digest in found.items() if digest}

    def _tag_names(self) -> list[str]:
        first = Asked("GET", f"{self._path}/tags/list?n={_TAGS_A_PAGE}", most=MOST_PAGE)
        names: list[str] = []
        try:
            for page, _headers in pages(self._server, first):
                listed = page.get("tags") or []
                if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
                    raise TransferError(f"{self.where}: the registry's list of tags is none.")
                names += listed
        except NotFound:
            return []
        return list(dict.fromkeys(names))

    def _digest_of(self, tag: str) -> str:
        try:
            return self.resolve(tag).digest
        except NotFound:
            return ""

    def lists_tag(self, tag: str) -> bool:
        """Whether the tag is listed, also when what it names is lost."""
        return tag in self._tag_names()

    def untagged(self) -> Sequence[str]:
        """A registry can't tell."""
        return ()

    def referrers(self, digest: str, artifact_type: str = "") -> Sequence[Descriptor]:
        """Manifests whose subject is `digest`."""
        return self._referrers.find(digest, artifact_type)

    def remove_tag(self, tag: str) -> None:
        """Forget a tag."""
        self._removal.tag(tag)

    def remove_manifest(self, digest: str) -> None:
        """Forget a manifest and all tags that point at it."""
        try:
            _found, data = self.manifest(digest)
        except NotFound:
            return
        if subject := subject_in(data):
            # First the list that names it, which must not name what isn't there.
            self._removal.require()
            self._referrers.remove(subject, digest)
            fault_point("registry:unlisted")
        self._removal.manifest(digest)

    def created(self, digest: str) -> float | None:
        """A registry can't tell."""
        return None

    def publishing(self) -> contextlib.AbstractContextManager[object]:
        """A registry minds itself."""
        return contextlib.nullcontext()

    def pruning(self) -> contextlib.AbstractContextManager[object]:
        """A registry minds itself."""
        return contextlib.nullcontext()

    def collect_garbage(self, *, grace: float, remove: bool = True) -> int:
        """A registry does that itself."""
        return 0

    def close(self) -> None:
        """End all connections."""
        self._server.close()


def _media_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip()


def _is_loopback(url: RemoteUrl) -> bool:
    if url.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.host).is_loopback
    except ValueError:
        return False
