# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import http.client
import json
import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import MANIFEST
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._registry import blob_server
from ansible_collections.imageops.fleet.plugins.module_utils._registry.blob_server import (
    BlobServer,
    ServerOptions,
    Throttle,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.pack_cache import PackCache
from ansible_collections.imageops.fleet.plugins.module_utils._registry.served import CacheContent, LayoutContent
from ansible_collections.imageops.fleet.tests.unit.catalog_image import small_image
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock
from ansible_collections.imageops.fleet.tests.unit.shown import shown

ONE = small_image("one")
PACK = ONE.manifest.packs[0]
DATA = ONE.blobs[PACK.digest]
CLOCK = Clock()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    path = tmp_path / "debian"
    ONE.publish(LayoutStore(str(path)), "12")
    return path


def ask(
    server: BlobServer, path: str, *, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=120)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        return response.status, dict(response.headers.items()), response.read()
    finally:
        connection.close()


def answers(server: BlobServer, headers: dict[str, str] | None = None) -> bool:
    """Whether it takes a connection now."""
    try:
        return ask(server, "/v2/", headers=headers)[0] == 200
    except (http.client.RemoteDisconnected, ConnectionError):
        return False


def test_the_api(layout: Path) -> None:
    with shown(LayoutContent(str(layout))) as server:
        assert ask(server, "/v2/")[0] == 200
        status, headers, body = ask(server, "/v2/any/name/manifests/12")
        assert (status, body) == (200, ONE.manifest.as_bytes())
        assert (headers["Content-Type"], headers["Docker-Content-Digest"]) == (MANIFEST, ONE.digest)
        assert ask(server, f"/v2/x/manifests/{ONE.digest}", method="HEAD")[2] == b""
        assert ask(server, f"/v2/x/blobs/{PACK.digest}")[2] == DATA
        assert json.loads(ask(server, "/v2/x/tags/list")[2])["tags"] == ["12"]
        assert json.loads(ask(server, f"/v2/x/referrers/{ONE.digest}")[2])["manifests"] == []


def test_tags_of_others_are_no_headers(layout: Path) -> None:
    """What was copied here may have been made to hurt."""
    index = json.loads((layout / "index.json").read_text())
    entry = index["manifests"][0]
    names = ["a\r\nX-Evil: yes", "b→", "c"]
    index["manifests"] = [{**entry, "annotations": {"org.opencontainers.image.ref.name": name}} for name in names]
    (layout / "index.json").write_text(json.dumps(index))
    with shown(LayoutContent(str(layout))) as server:
        last, found = "", []
        for _page in names:
            _status, headers, body = ask(server, f"/v2/x/tags/list?n=1&last={last}")
            found += json.loads(body)["tags"]
            assert "X-Evil" not in headers
            last = headers.get("Link", "last=>").partition("last=")[2].partition(">")[0]
    assert found == names


def test_the_files_of_the_layout(layout: Path) -> None:
    with shown(LayoutContent(str(layout))) as server:
        for name in ("index.json", "oci-layout", f"blobs/sha256/{PACK.digest.removeprefix('sha256:')}"):
            for path in (f"/{name}", f"/any/name/{name}"):
                assert ask(server, path)[2] == (layout / name).read_bytes()


@pytest.mark.parametrize(
    ("asked", "status", "told", "found"),
    [
        ("bytes=3-9", 206, f"bytes 3-9/{len(DATA)}", DATA[3:10]),
        ("bytes=5-", 206, f"bytes 5-{len(DATA) - 1}/{len(DATA)}", DATA[5:]),
        ("bytes=0-1,3-4", 200, None, DATA),
    ],
)
def test_parts(layout: Path, asked: str, status: int, told: str | None, found: bytes) -> None:
    with shown(LayoutContent(str(layout))) as server:
        answer = ask(server, f"/v2/x/blobs/{PACK.digest}", headers={"Range": asked})
        assert (answer[0], answer[1].get("Content-Range"), answer[2]) == (status, told, found)
        assert ask(server, f"/v2/x/blobs/{PACK.digest}", headers={"Range": "bytes=99999999-"})[0] == 416


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/blobs/",
        "/blobs/sha256/",
        "/../../etc/passwd",
        "/blobs/sha256/../../index.json",
        "/blobs/sha256/..%2f..%2findex.json",
        "/.imageops.lock",
        "/v2/x/blobs/sha256:../../index.json",
        "/v2/x/blobs/..",
        "/v2/x/manifests/..%2F..",
        "/v2/x/manifests/nothing",
        "/v2/x/blobs/sha256:" + "0" * 64,
        "http://elsewhere.example/v2/",
        "/v2/" + "x" * 5000,
        "/%00",
    ],
)
def test_nothing_else_is_shown(layout: Path, path: str) -> None:
    with shown(LayoutContent(str(layout))) as server:
        assert ask(server, path)[0] == 404


def test_a_link_is_not_shown(layout: Path) -> None:
    path = layout / "blobs" / "sha256" / ("0" * 64)
    path.symlink_to("/etc/passwd")
    with shown(LayoutContent(str(layout))) as server:
        assert ask(server, f"/blobs/sha256/{'0' * 64}")[0] == 500


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "DELETE"])
def test_it_only_reads(layout: Path, method: str) -> None:
    with shown(LayoutContent(str(layout))) as server:
        assert ask(server, "/v2/x/manifests/12", method=method)[0] == 405


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer correct-horse-battery", 200),
        ("Basic dXNlcjpjb3JyZWN0LWhvcnNlLWJhdHRlcnk=", 200),
        ("Bearer wrong", 401),
        ("Basic dXNlcjp3cm9uZw==", 401),
        ("Basic %%%", 401),
        ("Digest correct-horse-battery", 401),
        ("", 401),
    ],
)
def test_the_token(layout: Path, header: str, status: int) -> None:
    with shown(LayoutContent(str(layout)), token="correct-horse-battery") as server:
        assert ask(server, "/v2/", headers={"Authorization": header})[0] == status


def test_a_layout_that_is_gone(tmp_path: Path) -> None:
    with shown(LayoutContent(str(tmp_path / "gone"))) as server:
        for path in ("/index.json", f"/v2/x/blobs/{PACK.digest}", "/v2/x/manifests/12"):
            assert ask(server, path)[0] == 404


def test_a_file_that_becomes_shorter_ends_the_connection(tmp_path: Path) -> None:
    store = LayoutStore(str(tmp_path / "debian"))
    data = os.urandom(3 << 20)
    store.write_blob(data, digest_of(data))
    path = tmp_path / "debian" / "blobs" / "sha256" / digest_of(data).removeprefix("sha256:")
    with shown(LayoutContent(str(tmp_path / "debian"))) as server:
        server.throttle.passed = lambda count: os.truncate(path, 1 << 20)  # type: ignore[method-assign]
        with pytest.raises(http.client.IncompleteRead):
            ask(server, f"/v2/x/blobs/{digest_of(data)}")


def test_parts_of_a_cache(tmp_path: Path) -> None:
    cache = PackCache(str(tmp_path / "packs"))
    cache.write(PACK.digest, 10, DATA[10:30])
    path = f"/v2/x/blobs/{PACK.digest}"
    with shown(CacheContent(str(tmp_path / "packs"), Clock())) as server:
        status, headers, body = ask(server, path, headers={"Range": "bytes=12-19"})
        assert (status, headers["Content-Range"], body) == (206, "bytes 12-19/*", DATA[12:20])
        assert ask(server, path)[0] == 404 and ask(server, path, headers={"Range": "bytes=12-"})[0] == 404
        assert ask(server, path, headers={"Range": "bytes=12-40"})[0] == 404
        for other in ("/index.json", "/v2/x/tags/list", f"/v2/x/manifests/{PACK.digest}"):
            assert ask(server, other)[0] == 404


def test_a_part_is_waited_for(tmp_path: Path) -> None:
    cache, pauses = PackCache(str(tmp_path / "packs")), list[float]()

    class Late(Clock):
        """The part comes while somebody waits for it."""

        def sleep(self, seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 3:
                cache.write(PACK.digest, 0, DATA[:50])

    with shown(CacheContent(str(tmp_path / "packs"), Late())) as server:
        asked = {"Range": "bytes=0-49", "X-Imageops-Wait": "120"}
        status, _headers, body = ask(server, f"/v2/x/blobs/{PACK.digest}", headers=asked)
        assert (status, body) == (206, DATA[:50])
        assert len(pauses) == 3


def test_how_long_nobody_asked(layout: Path, tmp_path: Path) -> None:
    with shown(LayoutContent(str(layout))) as server:
        server._last -= 100
        assert server.idle_for() > 99
        ask(server, "/v2/")
        assert server.idle_for() < 50 and server.requests == 1
    with shown(CacheContent(str(tmp_path / "packs"), Clock())) as server:
        server._last -= 100
        assert server.idle_for() > 99
        PackCache(str(tmp_path / "packs")).write(PACK.digest, 0, DATA)
        assert server.idle_for() < 50


def test_more_connections_than_are_taken_are_ended(layout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blob_server, "_MOST_CONNECTIONS", 1)
    with shown(LayoutContent(str(layout))) as server:
        # Connections are taken in the order in which they came.
        refused = pytest.raises((http.client.RemoteDisconnected, ConnectionError))
        with socket.create_connection(("127.0.0.1", server.server_address[1])), refused:
            ask(server, "/v2/")
        assert CLOCK.wait_until(lambda: answers(server), 60)


@pytest.mark.parametrize("sent", [b"", b"GET /v2/ HTTP/1.1\r\n\r\n"])
def test_who_shows_no_token_soon_makes_room(layout: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(blob_server, "_MOST_CONNECTIONS", 2)
    monkeypatch.setattr(blob_server, "_STRANGER_SECONDS", 0.5)
    token = {"Authorization": "Bearer correct-horse-battery"}
    with shown(LayoutContent(str(layout)), token="correct-horse-battery") as server:
        strangers = [socket.create_connection(("127.0.0.1", server.server_address[1])) for _number in range(2)]
        for stranger in strangers:
            stranger.sendall(sent)
        assert CLOCK.wait_until(lambda: answers(server, token), 60)
        for stranger in strangers:
            stranger.settimeout(60)
            while stranger.recv(1 << 16):
                pass
            stranger.close()


def test_who_has_shown_the_token_may_pause(layout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = {"Authorization": "Bearer correct-horse-battery"}
    with shown(LayoutContent(str(layout)), token="correct-horse-battery") as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=120)
        for _turn in range(2):
            connection.request("GET", "/v2/", headers=token)
            assert connection.getresponse().read() is not None and connection.sock is not None
            # From now on a stranger has no time at all; the server looks several times.
            monkeypatch.setattr(blob_server, "_STRANGER_SECONDS", 0.0)
            time.sleep(0.2)
        connection.close()


def test_a_limit_of_bandwidth_is_for_all_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(blob_server, "time", SimpleNamespace(monotonic=clock.now, sleep=clock.sleep))
    throttle = Throttle(1_000_000)
    for _piece in range(3):
        throttle.passed(100_000)
    assert clock.slept == pytest.approx([0.1] * 3)
    Throttle(0).passed(1 << 40)
    assert len(clock.slept) == 3


def test_a_certificate_that_is_none(layout: Path) -> None:
    with pytest.raises(InvalidOption, match="certificate: "):
        BlobServer(LayoutContent(str(layout)), ServerOptions("127.0.0.1", 0, certificate=str(layout / "index.json")))
