# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""token_registry.py PORT LAYOUT SECONDS: a registry to read from, that shows an OCI image layout to who has a token; tokens end early.

It is its own token server (distribution specification: token authentication), and writes to LAYOUT.tokens how many it has given.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import secrets
import sys
import threading
import time

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_NAME = "org.opencontainers.image.ref.name"


class Registry(http.server.ThreadingHTTPServer):
    """Tokens by their end."""

    daemon_threads = True

    def __init__(self, port: int, layout: str, seconds: float) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.layout = layout
        self._seconds = seconds
        self._lock = threading.Lock()
        self._ends: dict[str, float] = {}

    def new_token(self) -> str:
        token = secrets.token_hex(16)
        with self._lock:
            self._ends[token] = time.monotonic() + self._seconds
            with open(f"{self.layout}.tokens", "w", encoding="utf-8") as stream:
                stream.write(str(len(self._ends)))
        return token

    def knows(self, header: str) -> bool:
        with self._lock:
            return self._ends.get(header.partition("Bearer ")[2], 0.0) > time.monotonic()

    def path_of(self, kind: str, name: str) -> str:
        """The file of a blob or manifest."""
        if kind == "manifests" and not name.startswith("sha256:"):
            with open(os.path.join(self.layout, "index.json"), encoding="utf-8") as stream:
                listed = json.load(stream)["manifests"]
            name = next(one["digest"] for one in listed if one.get("annotations", {}).get(_NAME) == name)
        return os.path.join(self.layout, "blobs", "sha256", name.partition(":")[2])


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Registry

    def do_HEAD(self) -> None:
        self._answer(content=False)

    def do_GET(self) -> None:
        if self.path.startswith("/token"):
            # It says that they are good for longer than they are.
            self._send(200, json.dumps({"token": self.server.new_token(), "expires_in": 300}).encode())
        else:
            self._answer(content=True)

    def _answer(self, *, content: bool) -> None:
        if not self.server.knows(self.headers.get("Authorization", "")):
            port = self.server.server_address[1]
            asked = f'Bearer realm="http://127.0.0.1:{port}/token",service="test",scope="repository:team/disk:pull"'
            self._send(401, b"{}" if content else b"", {"WWW-Authenticate": asked})
            return
        found = re.fullmatch(r"/v2/team/disk/(manifests|blobs)/([^/?]+)", self.path)
        with contextlib.suppress(StopIteration, FileNotFoundError):
            if found:
                with open(self.server.path_of(found[1], found[2]), "rb") as stream:
                    self._part(stream.read(), name=found[2], content=content)
                return
        self._send(404, b"{}" if content else b"")

    def _part(self, data: bytes, *, name: str, content: bool) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        part = data[int(asked[1]) : int(asked[2]) + 1] if asked else data
        more = {"Content-Type": _MANIFEST, "Docker-Content-Digest": name}
        if asked:
            more["Content-Range"] = f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(data)}"
        self._send(206 if asked else 200, part, more, content=content)

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None, *, content: bool = True) -> None:
        self.send_response(status)
        for name, text in (headers or {}).items():
            if text.startswith("sha256:") or name != "Docker-Content-Digest":
                self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if content:
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


def main() -> None:
    port, layout, seconds = sys.argv[1:]
    Registry(int(port), layout, float(seconds)).serve_forever()


if __name__ == "__main__":
    main()
