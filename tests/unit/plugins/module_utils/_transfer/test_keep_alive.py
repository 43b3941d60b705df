# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from threading import Thread

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.http import Access
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.keep_alive import KeptConnections
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.stream import Broken
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.url import HTTP, RemoteUrl, parse_url

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Script:
    """A server that says what the test says: an answer for each request, None ends the connection instead."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.connections = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> RemoteUrl:
        return parse_url(f"http://127.0.0.1:{self._server.getsockname()[1]}/x?y=z", option="x", schemes=HTTP)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = self._server.accept()
                self.connections += 1
                with connection:
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        while self.answers and (asked := connection.recv(65536)):
            self.requests.append(asked)
            answer = self.answers.pop(0)
            if answer is None:
                return
            connection.sendall(answer)

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def client() -> Iterator[KeptConnections]:
    found = KeptConnections(Access(idle_timeout=120.0))
    yield found
    found.close()


def ask(client: KeptConnections, url: RemoteUrl, method: str = "GET", *, read: bool = True) -> tuple[int, bytes]:
    with client.exchange(method, url, headers={"X-Own": "1"}) as response:
        return response.status, response.read() if read else b""


def test_a_rest_that_comes_byte_by_byte_is_not_waited_for(client: KeptConnections) -> None:
    """Nobody wants it, and it could come for days."""
    server = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        connection, _address = server.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 60000\r\n\r\n")
            for _byte in range(3000):
                connection.sendall(b".")
                time.sleep(0.1)

    Thread(target=drip, daemon=True).start()
    began = time.monotonic()
    url = parse_url(f"http://127.0.0.1:{server.getsockname()[1]}/", option="x", schemes=HTTP)
    assert ask(client, url, read=False) == (404, b"")
    assert time.monotonic() - began < 150  # seconds; all of it takes twice as long
    server.close()


def test_what_is_no_http_is_told_in_one_line(client: KeptConnections) -> None:
    script = Script(b"\0\x1b[31m bytes \xff of others\r\n\r\n")
    with pytest.raises(Broken) as caught:
        ask(client, script.url)
    assert str(caught.value).isprintable() and "bytes of others" in str(caught.value)


def test_one_connection_serves_many_requests(client: KeptConnections) -> None:
    script = Script(OK, OK, OK)
    assert [ask(client, script.url) for _number in range(3)] == [(200, b"ok")] * 3
    assert script.connections == 1
    first = script.requests[0]
    assert (
        first.startswith(b"GET /x?y=z HTTP/1.1\r\n")
        and b"X-Own: 1\r\n" in first
        and b"Accept-Encoding: identity" in first
    )


def test_a_short_rest_is_read_and_a_long_one_is_not(client: KeptConnections) -> None:
    script = Script(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", OK)
    ask(client, script.url, read=False)
    ask(client, script.url, read=False)
    assert script.connections == 1
    assert ask(client, script.url) == (200, b"ok") and script.connections == 2


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 200 OK\r\nConnection: close\r\n"])
def test_what_a_server_ends_is_not_kept(client: KeptConnections, head: bytes) -> None:
    script = Script(head + b"Content-Length: 2\r\n\r\nok", OK)
    for _number in range(2):
        assert ask(client, script.url) == (200, b"ok")


def test_an_old_connection_says_nothing_of_the_server(client: KeptConnections) -> None:
    script = Script(OK, None, OK)
    assert ask(client, script.url) == (200, b"ok")
    assert ask(client, script.url) == (200, b"ok")
    assert script.connections == 2 and len(script.requests) == 3


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_what_must_not_be_said_twice_is_said_once(client: KeptConnections, method: str) -> None:
    script = Script(OK, None, OK)
    ask(client, script.url)
    with pytest.raises(Broken, match="the connection failed"):
        ask(client, script.url, method)
    assert len(script.requests) == 2


def test_an_answer_that_ends_too_early(client: KeptConnections) -> None:
    script = Script(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nok", None)
    script.answers = script.answers[:1]
    with pytest.raises(Broken, match="in the middle"):
        ask(client, script.url)


def test_silence_has_a_limit() -> None:
    script = Script(b"HTTP/1.1 200 OK\r\n", None)
    client = KeptConnections(Access(idle_timeout=0.3))
    with contextlib.closing(client), pytest.raises(Broken, match="nothing came for 0.3 seconds"):
        ask(client, script.url)


def test_what_is_no_answer(client: KeptConnections) -> None:
    script = Script(b"\x15\x03\x01\x00\x02\x02\x46\r\n")
    with pytest.raises(TransferError, match="speaks TLS"):
        ask(client, script.url)
