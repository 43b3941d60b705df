# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound, TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.nbd_stream import NbdStream, export_size
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.stream import ContentChanged, Validators
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.url import RemoteUrl, parse_url
from ansible_collections.imageops.fleet.tests.unit.hasty_clock import HastyClock

CONTENT = os.urandom(1 << 20) + bytes(6 << 20) + os.urandom(3 << 20)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as stream:
        stream.write(CONTENT[: 1 << 20])
        stream.seek(7 << 20)
        stream.write(CONTENT[7 << 20 :])
    return path


@pytest.fixture
def export(disk: Path, tmp_path: Path) -> Iterator[RemoteUrl]:
    path = tmp_path / "nbd"
    server = subprocess.Popen(["qemu-nbd", "-t", "-e", "9", "-r", "-f", "raw", "-x", "an export", "-k", path, disk])
    while not path.exists():
        time.sleep(0.01)
    yield url_of("an%20export", path)
    server.kill()
    server.wait()


def url_of(name: str, path: Path) -> RemoteUrl:
    return parse_url(f"nbd+unix:///{name}?socket={path}", option="src")


def stream_of(url: RemoteUrl, *, idle: float = 5.0, **given: Any) -> NbdStream:
    return NbdStream(url, HastyClock(), idle_timeout=idle, **given)


def whole(stream: NbdStream, **given: Any) -> bytes:
    stream.open(**given)
    pieces = []
    while piece := stream.read(1_500_000):
        pieces.append(piece)
    stream.close()
    return b"".join(pieces)


def test_an_export_comes_whole(export: RemoteUrl) -> None:
    assert export_size(export, idle_timeout=5) == len(CONTENT)
    assert whole(stream_of(export)) == CONTENT


def test_only_a_checksum_lets_a_later_run_go_on(export: RemoteUrl) -> None:
    known = Validators(size=len(CONTENT))
    assert whole(stream_of(export, proven=True), offset=5 << 20, known=known) == CONTENT[5 << 20 :]
    with pytest.raises(ContentChanged):
        whole(stream_of(export), offset=5 << 20, known=known)
    with pytest.raises(ContentChanged, match="another size"):
        whole(stream_of(export, proven=True), offset=512, known=Validators(size=1024))


def test_another_export(export: RemoteUrl) -> None:
    with pytest.raises(NotFound, match="no export of the name 'other'"):
        whole(stream_of(url_of("other", Path(export.socket))))


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="the socket .* does not exist"):
        whole(stream_of(url_of("", tmp_path / "none")))


@pytest.fixture
def proxy(export: RemoteUrl, tmp_path: Path) -> Iterator[tuple[RemoteUrl, list[int]]]:
    """Between client and server; each connection ends after the next number of bytes, or hangs after a negative one."""
    limits: list[int] = []
    path = tmp_path / "proxy"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def forward(one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            return

    def relay(client: socket.socket, limit: int) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(export.socket)
        threading.Thread(target=forward, args=(client, server), daemon=True).start()
        left = abs(limit)
        with client, server, contextlib.suppress(OSError):
            while left > 0 and (data := server.recv(min(left, 65536))):
                client.sendall(data)
                left -= len(data)
            if limit < 0:
                time.sleep(1)
            client.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                client, _peer = listener.accept()
            except OSError:
                return
            threading.Thread(target=relay, args=(client, limits.pop(0) if limits else 1 << 40), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    with listener:
        yield url_of("an%20export", path), limits


def test_cut_connections_go_on_where_they_were(proxy: tuple[RemoteUrl, list[int]]) -> None:
    url, limits = proxy
    limits += [10, 500_000, 2_000_000]
    assert whole(stream_of(url)) == CONTENT


def test_silence_ends(proxy: tuple[RemoteUrl, list[int]]) -> None:
    url, limits = proxy
    limits += [-500_000]
    assert whole(stream_of(url, idle=0.2)) == CONTENT


def test_not_for_ever(proxy: tuple[RemoteUrl, list[int]]) -> None:
    url, limits = proxy
    limits += [10] * 20
    with pytest.raises(TransferError, match="It was tried 6 times"):
        whole(stream_of(url))


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4, b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"])
def test_another_protocol(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "other"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            client, _peer = listener.accept()
            client.sendall(said)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(TransferError, match="does not speak NBD"):
            whole(stream_of(url_of("", path)))
