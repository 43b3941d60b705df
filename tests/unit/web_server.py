# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server of a test's own that behaves as badly as servers do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass
class Site:
    """What is served, and how. `cuts` are numbers of bytes after which one answer each ends, `statuses` are said first."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    last_modified: str = ""
    ranges: bool = True
    head: bool = True
    sized: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    redirects: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    silent_head: bool = False
    login: str = ""
    address: tuple[str, int] = ("", 0)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    over: Event = field(default_factory=Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.address[1]}{path}"

    @property
    def methods(self) -> list[str]:
        return [method for method, _path, _headers in self.asked]

    @property
    def ranges_asked(self) -> list[str]:
        return [headers.get("Range", "") for method, _path, headers in self.asked if method == "GET"]


@contextlib.contextmanager
def serving(**given: Any) -> Iterator[Site]:
    """A site on loopback, until the end of the block."""
    site = Site(**given)
    handler = type("Handler", (_Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site.address = ("127.0.0.1", int(server.server_address[1]))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        site, path = self.site, self.path.partition("?")[0]
        site.asked.append((self.command, self.path, dict(self.headers.items())))
        self.close_connection = True
        if site.silent_head:
            # One byte of the head from time to time.
            with contextlib.suppress(OSError):
                while not site.over.wait(0.1):
                    self.wfile.write(b"H")
                    self.wfile.flush()
            return
        if path in site.redirects:
            return self._plain(302, Location=site.redirects[path])
        if site.statuses:
            return self._plain(site.statuses.pop(0))
        if site.login and self.headers.get("Authorization") != site.login:
            return self._plain(401)
        if path not in site.files:
            return self._plain(404)
        if not body and not site.head:
            return self._plain(405)
        self._file(site.files[path], body=body)

    def _plain(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _file(self, content: bytes, *, body: bool) -> None:
        site = self.site
        start = self._start(len(content))
        if start is not None and start >= len(content):
            return self._plain(416)
        self.send_response(200 if start is None else 206)
        for name, value in (("ETag", site.etag), ("Last-Modified", site.last_modified)):
            if value:
                self.send_header(name, value)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if site.sized:
            self.send_header("Content-Length", str(len(content) - (start or 0)))
        self.end_headers()
        if body:
            with contextlib.suppress(OSError):
                self._send(content[start or 0 :])

    def _start(self, size: int) -> int | None:
        """Where the part begins that is asked for; None for the whole."""
        wanted, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if not self.site.ranges or wanted is None or condition not in (None, self.site.etag, self.site.last_modified):
            return None
        return int(wanted.removeprefix("bytes=").partition("-")[0])

    def _send(self, content: bytes) -> None:
        site = self.site
        cut = site.cuts.pop(0) if site.cuts else len(content)
        if site.silent:
            site.over.wait()
        for start in range(0, cut, 65536):
            self.wfile.write(content[start : min(start + 65536, cut)])
