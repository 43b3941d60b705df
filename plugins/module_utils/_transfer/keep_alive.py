# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over connections that stay open between requests; any thread takes one that is free."""

from __future__ import annotations

import base64
import contextlib
import http.client
import select
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from .http import Access, TimedConnection, TimedTlsConnection, failures, tls_context
from .url import RemoteUrl

# A socket's time limit counts for what is given to it at once.
_PIECE = 256 << 10
_MOST_DRAINED = 64 << 10
_DRAIN_SECONDS = 1.0
_OWN = {"Accept-Encoding": "identity", "User-Agent": "imageops.fleet"}
# What a server that has ended an idle connection makes of the next request on it.
_STALE = (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
# Asking them twice is not the same as asking them once (RFC 9110, 9.2.2).
_ONCE = ("PATCH", "POST")

_Key = tuple[str, str, int]


class KeptConnections:
    """Connections to servers, as `access` says but for its secrets: who may see them is decided by who asks."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._proxies = urllib.request.getproxies()
        self._lock = threading.Lock()
        self._free: dict[_Key, list[TimedConnection]] = {}
        self._context: ssl.SSLContext | None = None

    @contextlib.contextmanager
    def exchange(
        self, method: str, url: RemoteUrl, *, headers: Mapping[str, str], body: bytes | memoryview | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        """One request and its answer, whatever its status; redirects aren't followed.

        Raises Broken for what may pass, TransferError for what won't. The connection is kept when the answer was read to its end.
        """
        sent = {**_OWN, **self._proxy_headers(url), **headers}
        if body is not None:
            sent["Content-Length"] = str(len(body))
        with failures(url, self._access.idle_timeout):
            connection, response = self._answered(method, url, sent, body)
            try:
                yield response
                _drain(response)
            finally:
                over = _is_over(response)
                response.close()
                self._leave(url, connection, keep=over)

    def close(self) -> None:
        """End all connections that are free."""
        with self._lock:
            found = [connection for free in self._free.values() for connection in free]
            self._free.clear()
        for connection in found:
            connection.close()

    def _answered(
        self, method: str, url: RemoteUrl, headers: Mapping[str, str], body: bytes | memoryview | None
    ) -> tuple[TimedConnection, http.client.HTTPResponse]:
        kept = self._taken(url)
        if kept is not None:
            try:
                return kept, _asked(kept, method, self._target(url), headers, body)
            except _STALE:
                # It says nothing about the server: the connection was old. But a part of an upload may have arrived.
                if method in _ONCE:
                    raise
        connection = self._new(url)
        return connection, _asked(connection, method, self._target(url), headers, body)

    def _taken(self, url: RemoteUrl) -> TimedConnection | None:
        """A free connection that the server has not ended."""
        while True:
            with self._lock:
                free = self._free.get(_key(url))
                connection = free.pop() if free else None
            if connection is None or _is_open(connection):
                return connection
            connection.close()

    def _leave(self, url: RemoteUrl, connection: TimedConnection, *, keep: bool) -> None:
        if not keep or connection.sock is None:
            connection.close()
            return
        with self._lock:
            self._free.setdefault(_key(url), []).append(connection)

    def _new(self, url: RemoteUrl) -> TimedConnection:
        proxy = self._proxy(url)
        host, port = (proxy.hostname or "", proxy.port or 80) if proxy else (url.host, url.port)
        timeout = self._access.idle_timeout
        if url.scheme == "http":
            return TimedConnection(host, port, timeout=timeout)
        connection = TimedTlsConnection(host, port, timeout=timeout, context=self._tls())
        if proxy:
            connection.set_tunnel(url.host, url.port, headers=_proxy_login(proxy))
        return connection

    def _tls(self) -> ssl.SSLContext:
        with self._lock:
            if self._context is None:
                self._context = tls_context(self._access)
            return self._context

    def _proxy(self, url: RemoteUrl) -> Any:
        """The proxy that the environment names for the URL."""
        found = self._proxies.get(url.scheme)
        if not found or urllib.request.proxy_bypass(url.host):
            return None
        return urlsplit(found if "://" in found else f"http://{found}")

    def _proxy_headers(self, url: RemoteUrl) -> Mapping[str, str]:
        proxy = self._proxy(url) if url.scheme == "http" else None
        return _proxy_login(proxy) if proxy else {}

    def _target(self, url: RemoteUrl) -> str:
        """What stands in the request's first line (RFC 9112, 3.2)."""
        if url.scheme == "http" and self._proxy(url):
            return url.text
        return f"{url.path}?{url.query}" if url.query else url.path


def _asked(
    connection: TimedConnection,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | memoryview | None,
) -> http.client.HTTPResponse:
    try:
        try:
            connection.request(method, target, body=_pieces(body), headers=headers)
        except ConnectionError:
            # A server that refuses what we send may have said so already.
            if body is None or connection.sock is None:
                raise
        return connection.getresponse()
    except BaseException:
        connection.close()
        raise


def _drain(response: http.client.HTTPResponse) -> None:
    """Read a short rest, so that another request may follow; a server that lets us wait for it isn't worth that."""
    end = time.monotonic() + _DRAIN_SECONDS
    while not response.isclosed() and response.length is not None and response.length <= _MOST_DRAINED:
        if not response.read1() or time.monotonic() > end:
            return


def _is_over(response: http.client.HTTPResponse) -> bool:
    """Whether the answer was read to its end, and another request may follow on the connection."""
    whole = response.isclosed() and not response.length
    return (whole or response.length == 0) and not response.will_close


def _pieces(body: bytes | memoryview | None) -> Iterator[memoryview] | bytes | None:
    if not body:
        return None if body is None else b""
    view = memoryview(body)
    return (view[start : start + _PIECE] for start in range(0, len(view), _PIECE))


def _key(url: RemoteUrl) -> _Key:
    return (url.scheme, url.host, url.port)


def _is_open(connection: TimedConnection) -> bool:
    """Nothing waits to be read on a connection that is free: what does is its end."""
    if connection.sock is None:
        return False
    waiting = select.poll()
    waiting.register(connection.sock, select.POLLIN)
    return not waiting.poll(0)


def _proxy_login(proxy: Any) -> dict[str, str]:
    if not proxy.username:
        return {}
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
