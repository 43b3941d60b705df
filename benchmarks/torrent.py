# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What BitTorrent needs besides aria2: a torrent file, and a tracker that tells everybody of everybody."""

from __future__ import annotations

import hashlib
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PIECE = 1 << 20


def encode(value: object) -> bytes:
    """`value` in BitTorrent's encoding (BEP 3)."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    assert isinstance(value, dict)
    return b"d" + b"".join(encode(key) + encode(value[key]) for key in sorted(value)) + b"e"


def write_torrent(path: Path, *, tracker: str) -> None:
    """The torrent of the file `path`, beside it."""
    pieces = b""
    with path.open("rb") as stream:
        while piece := stream.read(PIECE):
            pieces += hashlib.sha1(piece).digest()
    info = {"name": path.name, "piece length": PIECE, "length": path.stat().st_size, "pieces": pieces}
    path.with_name(f"{path.name}.torrent").write_bytes(encode({"announce": tracker, "info": info}))


class Tracker(ThreadingHTTPServer):
    """Answers each announcement with all who announced the same torrent."""

    def __init__(self, address: str) -> None:
        super().__init__((address, 0), _Announcement)
        self.peers: dict[str, set[bytes]] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_address[1]}/announce"


class _Announcement(BaseHTTPRequestHandler):
    server: Tracker

    def do_GET(self) -> None:
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query, encoding="latin-1")
        known = self.server.peers.setdefault(query["info_hash"][0], set())
        peer = socket.inet_aton(self.client_address[0]) + int(query["port"][0]).to_bytes(2, "big")
        (known.discard if query.get("event") == ["stopped"] else known.add)(peer)
        body = encode({"interval": 2, "min interval": 1, "peers": b"".join(known)})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
