# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A registry of a test's own, in memory, that behaves as well or as badly as the test says; and its token server."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@dataclass
class Registry:
    """What it holds, and how it behaves.

    `statuses` are said first, one a request; `cuts` are numbers of bytes of a blob after which an answer ends, one each;
    `cut_uploads` are numbers of bytes after which the connection of a PATCH is cut, which
    `forgets_cut` makes the end of the upload, as Docker's registry does. `login` is user:password; with `tokens` it is
    asked for by the token server (tokens live as long as they stand in `valid`). `elsewhere` is where blobs are. With `keeps` an
    upload of a blob that is there changes nothing, as in Docker's registry.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    statuses: list[int | tuple[int, dict[str, str]]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    cut_uploads: list[int] = field(default_factory=list)
    login: str = ""
    tokens: bool = False
    realm: str = ""
    valid: set[str] = field(default_factory=set)
    ranges: bool = True
    range_start: int | None = None
    most_range: int = 1 << 40
    head_digest: bool = True
    api: bool = False
    deletes: bool = True
    tag_page: int = 1000
    patches: bool = True
    forgets_cut: bool = False
    keeps: bool = False
    location: str = ""
    elsewhere: str = ""
    lose_tag_writes: int = 0
    uploads: dict[str, bytearray] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    lock: Lock = field(default_factory=Lock)
    address: tuple[str, int] = ("", 0)
    scheme: str = "http"

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.address[1]}"

    @property
    def methods(self) -> list[str]:
        return [method for method, _path, _headers in self.asked]

    def sent(self, name: str) -> list[str]:
        """Values of a header in all requests."""
        return [headers.get(name, "") for _method, _path, headers in self.asked]


@contextlib.contextmanager
def serving(context: ssl.SSLContext | None = None, **given: Any) -> Iterator[Registry]:
    """A registry on loopback, until the end of the block."""
    registry = Registry(**given)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"registry": registry}))
    server.daemon_threads = True
    registry.address = ("127.0.0.1", int(server.server_address[1]))
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        registry.scheme = "https"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    registry: Registry
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def _any(self) -> None:
        registry, parts = self.registry, urlsplit(self.path)
        registry.asked.append((self.command, self.path, dict(self.headers.items())))
        registry.connections.add(self.client_address)
        cut = registry.cut_uploads.pop(0) if self.command == "PATCH" and registry.cut_uploads else None
        body = self._body(cut)
        if body is None:
            return
        if parts.path == "/token":
            return self._token(parse_qs(parts.query))
        if registry.statuses:
            said = registry.statuses.pop(0)
            status, headers = said if isinstance(said, tuple) else (said, {})
            return self._say(status, b"", headers)
        if parts.path.startswith("/elsewhere/"):
            return self._blob(parts.path.rpartition("/")[2])
        if not self._admitted():
            return
        self._api(parts.path, parse_qs(parts.query), body)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _any

    def _body(self, cut: int | None) -> bytes | None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length if cut is None else min(cut, length))
        if cut is None:
            return body
        name = urlsplit(self.path).path.rpartition("/")[2]
        self.registry.uploads[name] += body
        if self.registry.forgets_cut:
            del self.registry.uploads[name]
        self.close_connection = True
        return None

    def _say(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _error(self, status: int, code: str) -> None:
        self._say(status, json.dumps({"errors": [{"code": code, "message": code.lower()}]}).encode())

    def _admitted(self) -> bool:
        registry, sent = self.registry, self.headers.get("Authorization", "")
        if registry.tokens:
            if sent.removeprefix("Bearer ") in registry.valid:
                return True
            realm = registry.realm or f"{registry.scheme}://{registry.place}/token"
            purpose = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}.get(self.command, "pull,push")
            wanted = f'Bearer realm="{realm}",service="registry",scope="repository:team/debian:{purpose}"'
        elif registry.login:
            if sent == _basic(registry.login):
                return True
            wanted = 'Basic realm="registry"'
        else:
            return True
        self._say(401, b"{}", {"WWW-Authenticate": wanted})
        return False

    def _token(self, query: dict[str, list[str]]) -> None:
        registry = self.registry
        if registry.login and self.headers.get("Authorization") != _basic(registry.login):
            return self._error(401, "UNAUTHORIZED")
        token = f"token-{len(registry.valid)}-{query.get('scope', [''])[0].rpartition(':')[2]}"
        registry.valid.add(token)
        self._say(200, json.dumps({"token": token, "expires_in": 300}).encode())

    def _api(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        found = re.fullmatch(r"/v2/team/debian/(manifests|blobs|tags|referrers)/(.+)", path)
        if not found:
            return self._error(404, "NAME_UNKNOWN")
        kind, name = found.groups()
        if kind == "manifests":
            return self._manifest(name, body)
        if kind == "tags":
            return self._tags(query)
        if kind == "referrers":
            return self._referring(name, query)
        if name.startswith("uploads/"):
            return self._upload(name.partition("/")[2], query, body)
        if self.registry.elsewhere:
            return self._say(307, b"", {"Location": f"{self.registry.elsewhere}/elsewhere/{name}?signature=secret"})
        self._blob(name)

    def _manifest(self, name: str, body: bytes) -> None:
        registry = self.registry
        if self.command == "PUT":
            digest = digest_of(body)
            with registry.lock:
                registry.manifests[digest] = (self.headers["Content-Type"], body)
                if name != digest:
                    if registry.lose_tag_writes and name.startswith("sha256-"):
                        registry.lose_tag_writes -= 1
                    else:
                        registry.tags[name] = digest
            subject = json.loads(body).get("subject", {}).get("digest", "")
            more = {"OCI-Subject": subject} if registry.api and subject else {}
            return self._say(201, b"", {"Docker-Content-Digest": digest, **more})
        digest = registry.tags.get(name, name)
        if self.command == "DELETE" and (not registry.deletes or not name.startswith("sha256:")):
            return self._error(405, "UNSUPPORTED")
        if digest not in registry.manifests:
            return self._error(404, "MANIFEST_UNKNOWN")
        if self.command == "DELETE":
            del registry.manifests[digest]
            for tag in [tag for tag, named in registry.tags.items() if named == digest]:
                del registry.tags[tag]
            return self._say(202)
        media_type, data = registry.manifests[digest]
        headers = {"Content-Type": media_type, "Content-Length": str(len(data))}
        if registry.head_digest:
            headers["Docker-Content-Digest"] = digest
        self._say(200, data, headers)

    def _tags(self, query: dict[str, list[str]]) -> None:
        registry = self.registry
        if not registry.tags:
            return self._error(404, "NAME_UNKNOWN")
        last = query.get("last", [""])[0]
        rest = sorted(tag for tag in registry.tags if tag > last)
        page = rest[: registry.tag_page]
        more = {"Link": f'</v2/team/debian/tags/list?last={page[-1]}>; rel="next"'} if len(page) < len(rest) else {}
        self._say(200, json.dumps({"name": "team/debian", "tags": page}).encode(), more)

    def _referring(self, digest: str, query: dict[str, list[str]]) -> None:
        if not self.registry.api:
            return self._error(404, "NOT_FOUND")
        listed = [
            {
                "mediaType": media_type,
                "digest": digest_of(data),
                "size": len(data),
                "artifactType": json.loads(data).get("artifactType", ""),
            }
            for media_type, data in self.registry.manifests.values()
            if json.loads(data).get("subject", {}).get("digest") == digest
        ]
        self._say(200, json.dumps({"schemaVersion": 2, "manifests": listed}).encode())

    def _upload(self, name: str, query: dict[str, list[str]], body: bytes) -> None:
        registry = self.registry
        if self.command == "POST":
            name = f"u{len(registry.asked)}"
            registry.uploads[name] = bytearray()
            return self._going_on(202, name)
        if name not in registry.uploads:
            return self._error(404, "BLOB_UPLOAD_UNKNOWN")
        if self.command == "GET":
            return self._going_on(204, name)
        if self.command == "PATCH" and not registry.patches:
            return self._error(405, "UNSUPPORTED")
        if self.command == "PATCH" and int(self.headers["Content-Range"].partition("-")[0]) != len(
            registry.uploads[name]
        ):
            return self._error(416, "RANGE_INVALID")
        registry.uploads[name] += body
        if self.command == "PATCH":
            return self._going_on(202, name)
        data = bytes(registry.uploads.pop(name))
        if digest_of(data) != query["digest"][0]:
            return self._error(400, "DIGEST_INVALID")
        if not registry.keeps or digest_of(data) not in registry.blobs:
            registry.blobs[digest_of(data)] = data
        self._say(201, b"", {"Docker-Content-Digest": digest_of(data)})

    def _going_on(self, status: int, name: str) -> None:
        base = self.registry.location or ""
        end = max(0, len(self.registry.uploads[name]) - 1)
        self._say(status, b"", {"Location": f"{base}/v2/team/debian/blobs/uploads/{name}?state=x", "Range": f"0-{end}"})

    def _blob(self, digest: str) -> None:
        registry = self.registry
        data = registry.blobs.get(digest)
        if data is None:
            return self._error(404, "BLOB_UNKNOWN")
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if not wanted or not registry.ranges or self.command == "HEAD":
            return self._part(200, data, {"Content-Length": str(len(data))})
        start, end = int(wanted[1]), min(int(wanted[2]), len(data) - 1, int(wanted[1]) + registry.most_range - 1)
        if start >= len(data):
            return self._error(416, "RANGE_INVALID")
        if registry.range_start is not None:
            start = registry.range_start
        part = data[start : end + 1]
        self._part(206, part, {"Content-Length": str(len(part)), "Content-Range": f"bytes {start}-{end}/{len(data)}"})

    def _part(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        with self.registry.lock:
            cut = self.registry.cuts.pop(0) if self.registry.cuts else len(data)
        self.close_connection = cut < len(data)
        self.wfile.write(data[:cut])


def _basic(login: str) -> str:
    return f"Basic {base64.b64encode(login.encode()).decode()}"
