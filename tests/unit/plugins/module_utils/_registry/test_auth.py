# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import socket
import ssl
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import MANIFEST
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._registry.distribution import RegistryStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess
from ansible_collections.imageops.fleet.tests.unit.catalog_image import small_image
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock
from ansible_collections.imageops.fleet.tests.unit.registry_server import Registry, serving

ONE = small_image("one")
BASIC = "Basic " + base64.b64encode(b"user:secret").decode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate of 127.0.0.1 that signs itself."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    names = ["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-days", "2", *names, *made], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as found:
        hold_one(found)
        yield found


def hold_one(registry: Registry) -> None:
    registry.blobs.update(ONE.blobs)
    registry.manifests[ONE.digest] = (MANIFEST, ONE.manifest.as_bytes())
    registry.tags["12"] = ONE.digest


def store_of(registry: Registry, clock: FakeClock | None = None, **given: Any) -> RegistryStore:
    access = StoreAccess(**{"plain_http": registry.scheme == "http", "idle_timeout": 120.0, **given})
    return RegistryStore(registry.place, "team/debian", access, clock=clock or FakeClock())


def test_basic_authentication(registry: Registry) -> None:
    registry.login = "user:secret"
    assert store_of(registry, username="user", password="secret").resolve("12").digest == ONE.digest
    assert registry.sent("Authorization") == [BASIC]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give url_username and url_password"),
        ({"username": "user", "password": "wrong"}, "check url_username and url_password"),
    ],
)
@pytest.mark.parametrize("tokens", [False, True])
def test_a_wrong_password_is_named(registry: Registry, given: dict[str, str], message: str, tokens: bool) -> None:
    registry.login, registry.tokens = "user:secret", tokens
    with pytest.raises(TransferError, match=f"401.*{message}") as caught:
        store_of(registry, **given).resolve("12")
    assert "wrong" not in str(caught.value)


def test_a_token_is_got_once_for_each_purpose(registry: Registry) -> None:
    registry.login, registry.tokens = "user:secret", True
    store = store_of(registry, username="user", password="secret")
    for _again in range(3):
        store.resolve("12")
    store.write_blob(b"x", digest_of(b"x"))
    store.remove_manifest(ONE.digest)
    tokens = [path for _method, path, _headers in registry.asked if path.startswith("/token")]
    assert [path.partition("debian%3A")[2].partition("&")[0] for path in tokens] == ["pull", "pull%2Cpush", "delete"]
    assert tokens[0] == "/token?service=registry&scope=repository%3Ateam%2Fdebian%3Apull&account=user"


def test_a_token_without_a_name(registry: Registry) -> None:
    registry.tokens = True
    assert store_of(registry).resolve("12").digest == ONE.digest
    assert [header.partition(" ")[0] for header in registry.sent("Authorization")] == ["", "", "Bearer"]


def test_a_token_that_ended_is_renewed_before_it_is_refused(registry: Registry) -> None:
    registry.tokens = True
    clock = FakeClock()
    store = store_of(registry, clock)
    store.resolve("12")
    clock.moment += 289
    store.resolve("12")
    assert len(registry.valid) == 1
    clock.moment += 2
    store.resolve("12")
    assert len(registry.valid) == 2
    assert registry.methods == ["HEAD", "GET", "HEAD", "HEAD", "GET", "HEAD"]


def test_a_token_that_is_refused_is_renewed(registry: Registry) -> None:
    registry.tokens = True
    store = store_of(registry)
    store.resolve("12")
    registry.valid = {"other"}
    store.resolve("12")
    assert registry.methods == ["HEAD", "GET", "HEAD", "HEAD", "GET", "HEAD"]


def test_a_token_that_is_always_refused_is_given_up(registry: Registry) -> None:
    registry.tokens = True

    class Never(set[str]):
        def add(self, token: str) -> None:
            """Forgotten at once."""

    registry.valid = Never()
    with pytest.raises(TransferError, match="401"):
        store_of(registry).resolve("12")
    assert registry.methods.count("HEAD") == 3


def test_many_threads_share_a_token(registry: Registry) -> None:
    registry.tokens = True
    store = store_of(registry)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _number: store.resolve("12").digest, range(24)))
    assert set(found) == {ONE.digest}
    assert len(registry.valid) <= 2


@pytest.mark.parametrize("answer", ['realm="ftp://x/"', "", 'realm="https://u:p@x.example/"', 'realm="nothing"'])
def test_a_token_server_that_is_none_is_refused(registry: Registry, answer: str) -> None:
    registry.statuses = [(401, {"WWW-Authenticate": f"Bearer {answer}"})]
    with pytest.raises(TransferError, match="names no token server that can be asked"):
        store_of(registry, username="user", password="secret").resolve("12")


def test_the_password_goes_to_no_token_server_without_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    with serving() as listener, serving(tls, tokens=True, realm=f"http://{listener.place}/token") as registry:
        store = store_of(registry, username="user", password="secret", ca_path=f"{certificate}.crt")
        with pytest.raises(TransferError, match="the password would go without TLS; that is not followed"):
            store.resolve("12")
        assert listener.asked == []


def test_where_a_blob_is_redirected_no_secret_goes(registry: Registry) -> None:
    with serving(blobs=dict(ONE.blobs)) as storage:
        registry.login, registry.elsewhere = "user:secret", f"http://{storage.place}"
        store = store_of(registry, username="user", password="secret")
        digest, data = next(iter(ONE.blobs.items()))
        assert store.read_blob(digest, 1, 5) == data[1:6]
        assert storage.sent("Authorization") == [""] and storage.sent("Range") == ["bytes=1-5"]
        assert set(registry.sent("Authorization")) == {BASIC}
        storage.blobs.clear()
        with pytest.raises(Exception, match="does not exist") as caught:
            store.read_blob(digest, 1, 5)
        assert "signature" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("ftp://x.example/", "no URL that is followed"),
        ("http://user:secret@x.example/", "no URL that is followed"),
        ("/v2/team/debian/manifests/12", "redirects more than 10 times"),
    ],
)
def test_redirects_that_are_not_followed(registry: Registry, location: str, message: str) -> None:
    registry.statuses = [(307, {"Location": location})] * 20
    with pytest.raises(TransferError, match=message):
        store_of(registry).resolve("12")


def test_no_redirect_leads_out_of_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    with serving() as plain, serving(tls, elsewhere=f"http://{plain.place}") as registry:
        store = store_of(registry, ca_path=f"{certificate}.crt")
        with pytest.raises(TransferError, match="without TLS, which is not followed"):
            store.read_blob(ONE.digest, 0, 1)
        assert plain.asked == []


def test_what_is_written_is_not_redirected(registry: Registry) -> None:
    registry.statuses = [(307, {"Location": "/x"})]
    with pytest.raises(TransferError, match="redirects what is written there"):
        store_of(registry).write_manifest(ONE.manifest.as_bytes(), MANIFEST, tag="12")


def test_tls(tls: ssl.SSLContext, certificate: Path) -> None:
    with serving(tls, login="user:secret") as registry:
        hold_one(registry)
        access = {"username": "user", "password": "secret"}
        trusting = store_of(registry, ca_path=f"{certificate}.crt", **access)
        assert trusting.resolve("12").digest == ONE.digest
        assert store_of(registry, validate_certs=False, **access).resolve("12").digest == ONE.digest
        with pytest.raises(TransferError, match="certificate is not trusted.*give its authority as ca_path"):
            store_of(registry, **access).resolve("12")


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n",
        b"\x15\x03\x01\x00\x02\x02\x46",
    ],
)
def test_a_registry_with_tls_is_named(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=answer_once, args=(server, said), daemon=True).start()
        store = RegistryStore(f"127.0.0.1:{server.getsockname()[1]}", "team/debian", StoreAccess(plain_http=True))
        with pytest.raises(TransferError, match="speaks TLS on this port.*leave plain_http out"):
            store.manifest("12")


def answer_once(server: socket.socket, said: bytes) -> None:
    connection, _address = server.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(said)


def test_a_registry_without_tls_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imageops.fleet.plugins.module_utils._registry import distribution

    # As if it were another host.
    monkeypatch.setattr(distribution, "_is_loopback", lambda url: False)
    with serving() as registry:
        with pytest.raises(TransferError, match="does not speak TLS on this port.*plain_http: true"):
            store_of(registry, plain_http=False).resolve("12")
        assert registry.asked == []


def test_proxies_of_the_environment(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:word@{registry.place}")
    monkeypatch.setenv("no_proxy", "")
    store = RegistryStore("registry.example:5000", "team/debian", StoreAccess(plain_http=True), clock=FakeClock())
    assert store.resolve("12").digest == ONE.digest
    method, target, headers = registry.asked[0]
    assert (method, target) == ("HEAD", "http://registry.example:5000/v2/team/debian/manifests/12")
    assert headers["Proxy-Authorization"] == "Basic " + base64.b64encode(b"me:word").decode()
    assert headers["Host"] == "registry.example:5000"


def test_no_secret_stands_in_what_is_printed() -> None:
    assert "secret" not in repr(StoreAccess(username="user", password="secret"))
