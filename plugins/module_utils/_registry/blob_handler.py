# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection of the server of images: who asks, for what, and the answer."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import ssl
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

from .._errors import ImageOpsError, NotFound
from .http_range import NotSatisfiable, asked_range
from .served import Found

if TYPE_CHECKING:
    from .blob_server import BlobServer

WAIT_HEADER = "X-Imageops-Wait"
_MOST_PATH = 2048
_SILENT_SECONDS = 60.0
_PIECE = 1 << 20
_TLS_PIECE = 256 << 10


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: BlobServer
    protocol_version = "HTTP/1.1"
    server_version = "imageops.fleet"
    sys_version = ""
    timeout = _SILENT_SECONDS
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()

    def log_message(self, format: str, *args: Any) -> None:
        """A log of requests would grow without an end."""

    def do_GET(self) -> None:
        with self.server.request():
            self._answer()

    do_HEAD = do_GET

    def _refuse_method(self) -> None:
        self.close_connection = True
        self._say(405, "UNSUPPORTED", {"Allow": "GET, HEAD"})

    do_PUT = do_POST = do_PATCH = do_DELETE = _refuse_method

    def _answer(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or self.headers.get("Transfer-Encoding"):
            # What would follow is not read.
            self.close_connection = True
        if not self._knows_token():
            return self._say(401, "UNAUTHORIZED", {"WWW-Authenticate": 'Basic realm="imageops.fleet"'})
        self.server.welcome(self.connection)
        parts = urlsplit(self.path)
        if len(self.path) > _MOST_PATH or parts.netloc:
            return self._say(404, "NOT_FOUND")
        try:
            found = self.server.content.find(unquote(parts.path), dict(parse_qsl(parts.query, max_num_fields=8)))
        except NotFound:
            return self._say(404, "NOT_FOUND")
        except (ImageOpsError, OSError, ValueError):
            return self._say(500, "UNKNOWN")
        self._send(found)

    def _knows_token(self) -> bool:
        """Whether the asker knows our token: as a bearer, or as the password of any user."""
        token = self.server.options.token
        if not token:
            return True
        scheme, _space, given = self.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "basic":
            with contextlib.suppress(ValueError):
                given = base64.b64decode(given, validate=True).decode("utf-8", "replace").partition(":")[2]
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), token.encode())

    def _send(self, found: Found) -> None:
        try:
            wanted = asked_range(self.headers.get("Range", ""), found.size)
        except NotSatisfiable:
            found.open().close()
            return self._say(416, "RANGE_INVALID", {"Content-Range": f"bytes */{found.size}"})
        if wanted is None and found.size is None:
            return self._say(404, "BLOB_UNKNOWN")
        offset, length = wanted or (0, found.size or 0)
        if not found.ready(offset, length, self._patience()):
            return self._say(404, "BLOB_UNKNOWN")
        with found.open() as stream:
            self._head(found, offset, length, part=wanted is not None)
            if self.command != "HEAD":
                self._body(stream, offset, length)

    def _patience(self) -> float:
        text = self.headers.get(WAIT_HEADER, "")
        return float(text) if text.isdecimal() and len(text) < 6 else 0.0

    def _head(self, found: Found, offset: int, length: int, *, part: bool) -> None:
        self.send_response(206 if part else 200)
        headers = {**found.headers, "Content-Length": str(length), "Docker-Distribution-Api-Version": "registry/2.0"}
        if part:
            total = "*" if found.size is None else str(found.size)
            headers["Content-Range"] = f"bytes {offset}-{offset + length - 1}/{total}"
        for name, value in {"Accept-Ranges": "bytes", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def _body(self, stream: BinaryIO, offset: int, length: int) -> None:
        plain = not isinstance(self.connection, ssl.SSLSocket) and hasattr(stream, "fileno") and _has_number(stream)
        send = self._by_kernel if plain else self._by_copy
        end = offset + length
        while offset < end:
            count = send(stream, offset, min(end - offset, _PIECE))
            if not count:
                # The file became shorter: what was promised can't be kept.
                self.close_connection = True
                return
            offset += count
            self.server.passed(count)

    def _by_kernel(self, stream: BinaryIO, offset: int, count: int) -> int:
        sent: int = self.connection.sendfile(stream, offset, count)
        return sent

    def _by_copy(self, stream: BinaryIO, offset: int, count: int) -> int:
        stream.seek(offset)
        data = stream.read(min(count, _TLS_PIECE))
        self.wfile.write(data)
        return len(data)

    def _say(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": code.replace("_", " ").lower()}]}).encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _has_number(stream: BinaryIO) -> bool:
    """Whether the kernel knows the file."""
    try:
        return os.fstat(stream.fileno()).st_size >= 0
    except (OSError, ValueError):
        return False
