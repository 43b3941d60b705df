# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    ImageOpsError,
    MissingLibrary,
    NotFound,
    TransferError,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._transfer import nbd, nbd_tls
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.http import Access
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.nbd_stream import NbdStream, export_size
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.stream import ContentChanged, Validators
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.url import RemoteUrl, parse_url
from ansible_collections.imageops.fleet.tests.unit.hasty_clock import HastyClock
from ansible_collections.imageops.fleet.tests.unit.qemu_nbd import exporting, unix_listener

CONTENT = os.urandom(1 << 20) + bytes(6 << 20) + os.urandom(3 << 20)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All only read it."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    with path.open("wb") as stream:
        stream.write(CONTENT[: 1 << 20])
        stream.seek(7 << 20)
        stream.write(CONTENT[7 << 20 :])
    return path


@pytest.fixture
def export(disk: Path, tmp_path: Path) -> Iterator[RemoteUrl]:
    path = tmp_path / "nbd"
    with exporting(unix_listener(path), "-e", "9", "-r", "-f", "raw", "-x", "an export", disk):
        yield url_of("an%20export", path)


def url_of(name: str, path: Path) -> RemoteUrl:
    return parse_url(f"nbd+unix:///{name}?socket={path}", option="src")


def stream_of(url: RemoteUrl, *, idle: float = 120.0, **given: Any) -> NbdStream:
    return NbdStream(url, HastyClock(), Access(idle_timeout=idle), **given)


def whole(stream: NbdStream, **given: Any) -> bytes:
    stream.open(**given)
    pieces = []
    while piece := stream.read(1_500_000):
        pieces.append(piece)
    stream.close()
    return b"".join(pieces)


def test_an_export_comes_whole(export: RemoteUrl) -> None:
    assert export_size(export, Access(idle_timeout=120)) == len(CONTENT)
    assert whole(stream_of(export)) == CONTENT


def test_only_a_checksum_lets_a_later_run_go_on(export: RemoteUrl) -> None:
    known = Validators(size=len(CONTENT))
    assert whole(stream_of(export, proven=True), offset=5 << 20, known=known) == CONTENT[5 << 20 :]
    with pytest.raises(ContentChanged):
        whole(stream_of(export), offset=5 << 20, known=known)
    with pytest.raises(ContentChanged, match="another size"):
        whole(stream_of(export, proven=True), offset=512, known=Validators(size=1024))


def test_another_export(export: RemoteUrl) -> None:
    with pytest.raises(NotFound, match="no export named 'other'"):
        whole(stream_of(url_of("other", Path(export.socket))))


def test_no_socket(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="the socket does not exist"):
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
    assert whole(stream_of(url, idle=0.5)) == CONTENT


def test_not_for_ever(proxy: tuple[RemoteUrl, list[int]]) -> None:
    url, limits = proxy
    limits += [10] * 20
    with pytest.raises(TransferError, match="It was tried 6 times"):
        whole(stream_of(url))


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n" * 4,
        b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u5 with words\r\n",
    ],
)
def test_another_protocol(tmp_path: Path, said: bytes) -> None:
    path = tmp_path / "other"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            client, _peer = listener.accept()
            # It stays until the client has gone, as servers do.
            with client, contextlib.suppress(ConnectionError):
                client.sendall(said)
                client.recv(1)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(TransferError, match="does not speak NBD"):
            whole(stream_of(url_of("", path)))


def test_a_server_that_cannot_read(disk: Path, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    broken = f"driver=raw,file.driver=blkdebug,file.image.filename={disk},file.inject-error.0.event=read_aio"
    said = pytest.raises(TransferError, match="bytes 0 to 1048576 .* can't be read: Input/output error")
    with exporting(unix_listener(path), "-r", "--image-opts", broken), said:
        whole(stream_of(url_of("", path)))


def test_without_the_library(export: RemoteUrl, monkeypatch: pytest.MonkeyPatch) -> None:
    nbd.library.cache_clear()
    monkeypatch.setitem(sys.modules, "nbd", None)
    assert not nbd.is_installed()
    with pytest.raises(MissingLibrary, match="python3-libnbd"):
        whole(stream_of(export))


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, of an authority of its own."""
    folder = tmp_path_factory.mktemp("tls")
    new = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, *new, "-x509", "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca-cert.pem")
    openssl(folder, *new, "-subj", "/CN=localhost", "-keyout", "server-key.pem", "-out", "request.pem")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    openssl(folder, *["x509", "-req", "-in", "request.pem", "-CA", "ca-cert.pem", "-CAkey", "ca-key.pem", "-CAcreateserial"],
            *["-extfile", "names", "-out", "server-cert.pem"])  # fmt: skip
    return folder


@pytest.fixture
def secret_export(disk: Path, tls: Path) -> Iterator[RemoteUrl]:
    """A server that wants TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = parse_url(f"nbds://localhost:{listener.getsockname()[1]}/", option="src")
    creds = f"tls-creds-x509,id=tls,endpoint=server,dir={tls},verify-peer=no"
    with exporting(listener, "-e", "9", "-r", "-f", "raw", "--object", creds, "--tls-creds", "tls", disk):
        yield url


def test_tls(secret_export: RemoteUrl, tls: Path) -> None:
    trusting = Access(120, ca_path=str(tls / "ca-cert.pem"))
    assert whole(NbdStream(secret_export, HastyClock(), trusting)) == CONTENT
    assert export_size(secret_export, Access(120, validate_certs=False)) == len(CONTENT)


def test_a_certificate_of_another_host(secret_export: RemoteUrl, tls: Path) -> None:
    other = parse_url(secret_export.text.replace("localhost", "127.0.0.1"), option="src")
    with pytest.raises(TransferError, match="certificate"):
        export_size(other, Access(120, ca_path=str(tls / "ca-cert.pem")))


@pytest.mark.parametrize(
    ("ca_path", "said"), [("/nonexistent", "ca_path: /nonexistent can't be read"), ("", "no certificates")]
)
def test_nobody_to_trust(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ca_path: str, said: str) -> None:
    monkeypatch.setattr(nbd_tls, "_BUNDLES", ())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none"))
    with pytest.raises(ImageOpsError, match=said):
        export_size(parse_url("nbds://localhost:1/", option="src"), Access(120, ca_path=ca_path))


def test_tls_that_nobody_vouches_for(secret_export: RemoteUrl) -> None:
    with pytest.raises(TransferError, match="certificate"):
        export_size(secret_export, Access(120))


def test_tls_is_asked_for_by_one_side_only(secret_export: RemoteUrl, export: RemoteUrl) -> None:
    plain = parse_url(secret_export.text.replace("nbds:", "nbd:"), option="src")
    with pytest.raises(Unsupported, match="nbds:// asks for TLS"):
        export_size(plain, Access(120))
