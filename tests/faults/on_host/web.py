# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web server that can go on in the middle of a file, and that is not faster than a link."""

from __future__ import annotations

import contextlib
import http.server
import os
import re
import time
from typing import Any

_PIECE = 256 << 10
_PAUSE = 0.003


class Web(http.server.ThreadingHTTPServer):
    """Serves the files of a folder on a free port of the loopback."""

    daemon_threads = True

    def __init__(self, folder: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.port: int = self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients are killed here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Web

    def do_HEAD(self) -> None:
        if os.path.isfile(self._path()):
            self._head()
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        if not os.path.isfile(self._path()):
            self.send_error(404)
            return
        with contextlib.suppress(ConnectionError), open(self._path(), "rb") as stream:
            start, left = self._head()
            stream.seek(start)
            while data := stream.read(min(_PIECE, left)):
                self.wfile.write(data)
                left -= len(data)
                time.sleep(_PAUSE)

    def _path(self) -> str:
        return os.path.join(self.server.folder, self.path.lstrip("/"))

    def _head(self) -> tuple[int, int]:
        """Send the head; where the content begins, and how much of it comes."""
        found = os.stat(self._path())
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, found.st_size) if asked and asked[2] else found.st_size
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{found.st_size}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{found.st_mtime_ns:x}"')
        self.end_headers()
        return start, end - start

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""
