# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import os
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption, NotFound, TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.http import Access, HttpClient
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.http_stream import (
    ATTEMPTS,
    HttpStream,
    probe,
    read_small,
)
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.stream import Broken, ContentChanged, Validators
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.url import RemoteUrl, parse_url
from ansible_collections.imageops.fleet.tests.unit.hasty_clock import HastyClock
from ansible_collections.imageops.fleet.tests.unit.web_server import Site, serving

CONTENT = os.urandom(600_000)
DATE = "Fri, 20 Nov 2026 10:00:00 GMT"


def url_of(text: str) -> RemoteUrl:
    return parse_url(text, option="src")


def stream_of(site: Site, *, idle: float = 120.0, proven: bool = False, path: str = "/a") -> HttpStream:
    return HttpStream(HttpClient(Access(idle_timeout=idle)), url_of(site.url(path)), HastyClock(), proven=proven)


def whole(stream: HttpStream, **given: Any) -> bytes:
    stream.open(**given)
    pieces = []
    while piece := stream.read(100_000):
        pieces.append(piece)
    stream.close()
    return b"".join(pieces)


def test_a_file_comes_whole() -> None:
    with serving(files={"/a": CONTENT}, last_modified=DATE) as site:
        stream = stream_of(site)
        assert whole(stream) == CONTENT
        assert stream.validators == Validators('"one"', DATE, len(CONTENT))
        assert site.asked[0][2]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("sign", [{"etag": '"x"'}, {"etag": "", "last_modified": DATE}])
def test_cut_connections_go_on_where_they_were(sign: dict[str, str]) -> None:
    with serving(files={"/a": CONTENT}, cuts=[100_000, 65_536, 3], **sign) as site:
        assert whole(stream_of(site)) == CONTENT
        assert site.ranges_asked == ["", "bytes=100000-", "bytes=165536-", "bytes=165539-"]


def test_servers_without_ranges_send_it_again() -> None:
    with serving(files={"/a": CONTENT}, ranges=False, cuts=[250_000]) as site:
        assert whole(stream_of(site)) == CONTENT
        assert len(site.asked) == 2


@pytest.mark.parametrize("sign", [{"etag": ""}, {"etag": 'W/"x"'}])
def test_nothing_to_compare_means_no_going_on(sign: dict[str, str]) -> None:
    with serving(files={"/a": CONTENT}, cuts=[100_000], **sign) as site, pytest.raises(ContentChanged):
        whole(stream_of(site))
    with serving(files={"/a": CONTENT}, cuts=[100_000], **sign) as site:
        assert whole(stream_of(site, proven=True)) == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_other_content_after_a_break(ranges: bool) -> None:
    with serving(files={"/a": CONTENT}, cuts=[200_000], ranges=ranges) as site:
        stream = stream_of(site)
        stream.open()
        stream.read(100_000)
        site.etag, site.files["/a"] = '"two"', CONTENT[::-1]
        with pytest.raises(ContentChanged):
            stream.read(len(CONTENT))


@pytest.mark.parametrize(
    ("etag", "content", "same"),
    [
        ('"one"', CONTENT, True),
        ('"two"', CONTENT, False),
        ('"one"', CONTENT[:1000], False),
        ('"one"', CONTENT * 2, False),
    ],
)
@pytest.mark.parametrize("offset", [300_000, len(CONTENT)])
def test_going_on_with_an_earlier_run(etag: str, content: bytes, same: bool, offset: int) -> None:
    known = Validators('"one"', "", len(CONTENT))
    with serving(files={"/a": content}, etag=etag) as site:
        if same:
            assert whole(stream_of(site), offset=offset, known=known) == CONTENT[offset:]
        else:
            with pytest.raises(ContentChanged):
                whole(stream_of(site), offset=offset, known=known)


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with serving(files={"/a": CONTENT}, statuses=[status] * 2) as site:
        assert whole(stream_of(site)) == CONTENT


def test_but_not_for_ever() -> None:
    with serving(files={"/a": CONTENT}, statuses=[503] * 99) as site:
        with pytest.raises(TransferError, match="the server said 503"):
            whole(stream_of(site))
        assert len(site.asked) == ATTEMPTS


@pytest.mark.parametrize(
    ("path", "given", "kind", "said"),
    [
        ("/b", {}, NotFound, "does not exist: the server said 404"),
        ("/a", {"login": "x"}, TransferError, "may not be read: the server said 401"),
        ("/a", {"statuses": [418]}, TransferError, "the server said 418"),
        ("/loop", {"redirects": {"/loop": "/loop"}}, TransferError, "redirects in a circle"),
        ("/r", {"redirects": {"/r": "file:///etc/passwd"}}, TransferError, "redirects in a circle"),
        ("/r", {"redirects": {"/r": "ftp://h/x"}}, TransferError, "not followed"),
        ("/r", {"redirects": {"/r": "http://u:p@127.0.0.1/x"}}, TransferError, "user's name"),
    ],
)
def test_final_answers(path: str, given: dict[str, Any], kind: type[Exception], said: str) -> None:
    with serving(files={"/a": CONTENT}, **given) as site:
        with pytest.raises(kind, match=said):
            whole(stream_of(site, path=path))
        assert len(site.asked) < 12


def test_redirects_are_followed_and_ranges_go_with_them() -> None:
    with serving(files={"/a": CONTENT}, redirects={"/r": "/q", "/q": "/a"}, cuts=[100_000]) as site:
        assert whole(stream_of(site, path="/r")) == CONTENT
        assert site.ranges_asked[-1] == "bytes=100000-"


def test_secrets_go_to_the_own_server_only() -> None:
    with serving(files={"/a": CONTENT}) as other, serving() as site:
        site.redirects = {"/r": other.url("/a"), "/own": "/r"}
        access = Access(username="me", password="pass", headers={"X-Token": "t"})
        with HttpClient(access).request(url_of(site.url("/own"))) as response:
            assert response.read() == CONTENT
        login = "Basic " + base64.b64encode(b"me:pass").decode()
        assert [asked[2].get("Authorization") for asked in site.asked] == [login, login]
        assert not {"Authorization", "X-Token", "X-token"} & set(other.asked[0][2])


@pytest.mark.parametrize("given", [{"silent": True}, {"silent_head": True}])
def test_silence_ends(given: dict[str, Any]) -> None:
    words = "nothing came for 0.2 seconds"
    with serving(files={"/a": CONTENT}, **given) as site, pytest.raises(TransferError, match=words):
        whole(stream_of(site, idle=0.2))


class Fast(HastyClock):
    """A clock on which 60 seconds are 0.2: bytes that come late on a busy machine are no silence of the connection itself."""

    def now(self) -> float:
        return super().now() * 300


def test_one_byte_from_time_to_time_is_silence() -> None:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _peer = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                connection.sendall(b'HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-Length: 5000\r\n\r\n')
                try:
                    for _byte in range(300):
                        connection.sendall(b"x")
                        time.sleep(0.03)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    client = HttpClient(Access(idle_timeout=60))
    stream = HttpStream(client, url_of(f"http://127.0.0.1:{listener.getsockname()[1]}/a"), Fast())
    with listener, pytest.raises(TransferError, match="almost nothing came"):
        whole(stream)


def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = url_of(f"http://127.0.0.1:{unused.getsockname()[1]}/a")
        with pytest.raises(Broken, match="the connection failed: .*refused; start the server"):
            HttpClient(Access()).request(url)


def test_without_a_size_only_a_checksum_shows_the_end() -> None:
    with serving(files={"/a": CONTENT}, sized=False) as site:
        with pytest.raises(TransferError, match="does not tell the file's size"):
            whole(stream_of(site))
        assert whole(stream_of(site, proven=True)) == CONTENT


@pytest.mark.parametrize("head", [True, False])
def test_a_look_takes_no_content(head: bool) -> None:
    with serving(files={"/a": CONTENT}, head=head) as site:
        found = probe(HttpClient(Access()), url_of(site.url("/a")))
        assert found == Validators('"one"', "", len(CONTENT))


def test_small_files_are_small() -> None:
    with serving(files={"/a": CONTENT}) as site:
        client, url = HttpClient(Access()), url_of(site.url("/a"))
        assert read_small(client, url, most=len(CONTENT)) == CONTENT
        with pytest.raises(TransferError, match="is longer than"):
            read_small(client, url, most=1000)


def test_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    with serving(files={"/a": CONTENT}) as site, socket.create_server(("127.0.0.1", 0)) as listener:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, key)

        def serve() -> None:
            while True:
                try:
                    raw, _peer = listener.accept()
                    with context.wrap_socket(raw, server_side=True) as connection:
                        connection.recv(4096)
                        connection.sendall(
                            f"HTTP/1.1 302 Found\r\nLocation: {site.url('/a')}\r\nContent-Length: 0\r\n\r\n".encode()
                            if site.redirects
                            else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                        )
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        url = url_of(f"https://localhost:{listener.getsockname()[1]}/a")
        with pytest.raises(TransferError, match="certificate is not trusted: .*; give its authority as ca_path"):
            HttpClient(Access()).request(url)
        for access in (Access(ca_path=str(cert)), Access(validate_certs=False)):
            with HttpClient(access).request(url) as response:
                assert response.read() == b"ok"
        site.redirects = {"x": "y"}
        with pytest.raises(TransferError, match="from https to 'http'"):
            HttpClient(Access(ca_path=str(cert))).request(url)
        with pytest.raises(InvalidOption, match="ca_path: .* can't be read"):
            HttpClient(Access(ca_path=str(key)))
