# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP server for what hosts hand on: read only, with a limit on everything."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote, urlsplit

from .._errors import ImageOpsError, InvalidOption, NotFound
from .http_range import NotSatisfiable, asked_range
from .served import Content, Found

WAIT_HEADER = "X-Imageops-Wait"
_MOST_CONNECTIONS = 256
_MOST_PATH = 2048
_SILENT_SECONDS = 60.0
_PIECE = 1 << 20
_TLS_PIECE = 256 << 10


@dataclass(frozen=True)
class ServerOptions:
    """Where it listens, and to whom it talks: with a `token` only to those who know it; 0 bytes a second are no limit."""

    address: str
    port: int
    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = ""
    bandwidth: int = 0


class Throttle:
    """Keeps all connections together below some bytes a second."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._free = 0.0

    def passed(self, count: int) -> None:
        """`count` bytes went: wait until more may."""
        if not self._limit:
            return
        with self._lock:
            now = time.monotonic()
            self._free = max(self._free, now) + count / self._limit
            pause = self._free - now
        time.sleep(pause)


class BlobServer(ThreadingHTTPServer):
    """Shows `content`; listens from the start, and answers in `serve_forever`."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, content: Content, options: ServerOptions) -> None:
        self.content = content
        self.options = options
        self.throttle = Throttle(options.bandwidth)
        self.sent = self.requests = 0
        self._context = _context(options)
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._active = 0
        self._last = time.monotonic()
        if ":" in options.address:
            self.address_family = socket.AF_INET6
        super().__init__((options.address, options.port), Handler)

    def idle_for(self) -> float:
        """Seconds since the last request ended, and since something was added to what is shown."""
        with self._lock:
            if self._active:
                return 0.0
            return min(time.monotonic() - self._last, max(0.0, time.time() - self.content.used()))

    @contextlib.contextmanager
    def request(self) -> Any:
        """A request is being answered."""
        with self._lock:
            self._active += 1
            self.requests += 1
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1
                self._last = time.monotonic()

    def passed(self, count: int) -> None:
        """`count` bytes went to somebody."""
        with self._lock:
            self.sent += count
        self.throttle.passed(count)

    def get_request(self) -> tuple[Any, Any]:
        connection, address = super().get_request()
        if self._context is not None:
            # The handshake is for the connection's own thread: a silent client must not hold the others.
            connection = self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are no news."""


def _context(options: ServerOptions) -> ssl.SSLContext | None:
    if not options.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(options.certificate, options.key or None)
    except (OSError, ssl.SSLError) as error:
        raise InvalidOption(
            f"certificate: {options.certificate} and its key can't be read as certificate and key (PEM): {error}."
        ) from None
    return context


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
