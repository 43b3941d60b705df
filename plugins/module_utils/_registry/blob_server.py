# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A small HTTP server for what hosts hand on: read only, with a limit on everything."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import Any

from .._errors import InvalidOption
from .blob_handler import Handler
from .served import Content

_MOST_CONNECTIONS = 256
# Who hasn't shown by then that he may ask takes somebody else's place.
_STRANGER_SECONDS = 5.0


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
        self._strangers: dict[Any, float] = {}
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
        with self._lock:
            self._strangers[request] = time.monotonic()
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.welcome(request)
            self._room.release()

    def welcome(self, connection: Any) -> None:
        """Somebody who may ask has asked by this connection, or it is over."""
        with self._lock:
            self._strangers.pop(connection, None)

    def service_actions(self) -> None:
        """Now and then: end connections by which nobody who may ask has asked, also those that send a byte at a time."""
        oldest = time.monotonic() - _STRANGER_SECONDS
        with self._lock:
            late = [connection for connection, began in self._strangers.items() if began < oldest]
            for connection in late:
                del self._strangers[connection]
                # Past TLS, which another thread may be busy with.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

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
