# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import errno
import itertools
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable
from unittest.mock import Mock

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.ranges import Part
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_pull_peers
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull_peers import (
    SharedSource,
    StoreSource,
    peer_url,
    ranked,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.blob_server import BlobServer, ServerOptions
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.pack_cache import PackCache
from ansible_collections.imageops.fleet.plugins.module_utils._registry.served import CacheContent

PIECE, COUNT = 64 << 10, 320
DATA = random.Random(3).randbytes(PIECE * COUNT)
PACK = digest_of(DATA)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is slow is no host that is dead."""
    for limit in ("_PATIENCE", "_GRACE", "_SILENT_SECONDS", "_SENDING_SECONDS"):
        monkeypatch.setattr(image_pull_peers, limit, 300.0)


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    store = LayoutStore(str(tmp_path / "catalog"))
    store.write_blob(DATA, PACK)
    return store


class Host:
    """A host with its server."""

    def __init__(self, folder: Path, token: str = "secret") -> None:
        self.cache = PackCache(str(folder))
        self.server = BlobServer(CacheContent(str(folder), Clock()), ServerOptions("127.0.0.1", 0, token=token))
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def pull(self, store: LayoutStore, peers: list[str], token: str = "secret") -> StoreSource:
        """Read everything, as a pull does: what is its own first."""
        origin = StoreSource(store)
        source = SharedSource(origin, self.cache, [peer for peer in peers if peer != self.url], self.url, token)
        with contextlib.closing(source):
            pieces = sorted(range(COUNT), key=lambda number: ranked(peers, PACK, number * PIECE)[0] != self.url)
            for number in pieces:
                found = source.read(PACK, number * PIECE, PIECE)
                assert found == DATA[number * PIECE : (number + 1) * PIECE]
        return origin


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[list[Host]]:
    found = [Host(tmp_path / f"host{number}") for number in range(3)]
    yield found
    for host in found:
        host.close()


def all_pull(hosts: list[Host], store: LayoutStore, peers: list[str], token: str = "secret") -> list[StoreSource]:
    sources: list[StoreSource] = []
    crew = [threading.Thread(target=lambda host=host: sources.append(host.pull(store, peers, token))) for host in hosts]
    for one in crew:
        one.start()
    for one in crew:
        one.join()
    assert len(sources) == len(hosts)
    return sources


def test_one_image_leaves_the_catalog(hosts: list[Host], store: LayoutStore) -> None:
    sources = all_pull(hosts, store, [host.url for host in hosts])
    counted = [source.counted[store.where] for source in sources]
    assert sum(counted) == len(DATA)
    assert all(sum(source.counted.values()) == len(DATA) for source in sources)
    assert max(counted) < len(DATA)


def test_a_host_that_does_not_live_is_left_out(
    hosts: list[Host], store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_pull_peers, "_GRACE", 0.0)
    peers = [*(host.url for host in hosts), "http://127.0.0.1:1"]
    sources = all_pull(hosts, store, peers)
    assert sum(source.counted[store.where] for source in sources) == len(DATA)


def test_a_host_that_begins_later_is_waited_for(
    hosts: list[Host], store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[float] = []
    connect = image_pull_peers.KeptConnections.exchange

    def exchange(*arguments: Any, **given: Any) -> Any:
        if len(refused) < 3:
            refused.append(0.0)
            raise ConnectionRefusedError
        return connect(*arguments, **given)

    monkeypatch.setattr(image_pull_peers.KeptConnections, "exchange", exchange)
    monkeypatch.setattr(image_pull_peers, "_PAUSE", 0.01)
    sources = all_pull(hosts, store, [host.url for host in hosts])
    assert len(refused) == 3
    assert sum(source.counted[store.where] for source in sources) == len(DATA)


def test_a_host_that_refuses_is_left_out(hosts: list[Host], store: LayoutStore) -> None:
    sources = all_pull(hosts[:1], store, [host.url for host in hosts], token="wrong")
    assert sources[0].counted == {store.where: len(DATA)}


def test_what_was_damaged_comes_from_the_catalog(hosts: list[Host], store: LayoutStore) -> None:
    source = SharedSource(StoreSource(store), hosts[0].cache, [hosts[1].url], hosts[0].url, "secret")
    assert source.read_again(PACK, 0, 100) == DATA[:100]
    assert hosts[0].cache.read(PACK, 0, 100) == DATA[:100]


def test_a_host_that_sent_damage_is_left_out(hosts: list[Host], store: LayoutStore) -> None:
    liar = hosts[1]
    liar.cache.write(PACK, 0, bytes(len(DATA)))
    source = SharedSource(StoreSource(store), hosts[0].cache, [liar.url], hosts[0].url, "secret")
    lied = next(at for at in range(0, len(DATA), 1 << 20) if ranked([liar.url, hosts[0].url], PACK, at)[0] == liar.url)
    assert source.read(PACK, lied, 100) == bytes(100)
    assert source.read_again(PACK, lied, 100) == DATA[lied : lied + 100]
    for at in range(0, len(DATA), PIECE):
        assert source.read(PACK, at + 100, 100) == DATA[at + 100 : at + 200]


def test_what_another_host_sent_is_handed_on_when_it_was_right(hosts: list[Host], store: LayoutStore) -> None:
    other, own = hosts[1], hosts[0]
    other.cache.write(PACK, 0, DATA)
    source = SharedSource(StoreSource(store), own.cache, [other.url], own.url, "secret")
    at = next(at for at in range(0, len(DATA), 1 << 20) if ranked([other.url, own.url], PACK, at)[0] == other.url)
    assert source.read(PACK, at, 100) == DATA[at : at + 100] and not own.cache.has(PACK, at, 100)
    source.taken(PACK, at, DATA[at : at + 100])
    assert own.cache.read(PACK, at, 100) == DATA[at : at + 100]


@pytest.mark.parametrize("how", ["room", "error"])
def test_a_full_cache_ends_no_pull(
    hosts: list[Host], store: LayoutStore, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    source = SharedSource(StoreSource(store), hosts[0].cache, [], hosts[0].url, "secret")
    assert source.read(PACK, 0, 100) == DATA[:100] and not source.warning
    full = OSError(errno.ENOSPC, "No space left on device")
    with monkeypatch.context() as patched:
        if how == "room":
            patched.setattr(image_pull_peers, "_RESERVE", 1 << 60)
        else:
            patched.setattr(PackCache, "write", Mock(side_effect=full))
        assert source.read(PACK, 100, 100) == DATA[100:200]
    told = source.warning
    assert told.startswith(f"share: {hosts[0].cache.folder} takes no more, so this host handed on only a part")
    assert source.read(PACK, 200, 100) == DATA[200:300]
    assert hosts[0].cache.has(PACK, 0, 100) and not hosts[0].cache.has(PACK, 100, 200) and source.warning == told


def test_a_host_that_never_has_its_parts_is_left_out(
    hosts: list[Host], store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_pull_peers, "_PATIENCE", 0.2)
    monkeypatch.setattr(image_pull_peers, "_WAIT_SECONDS", 0)
    sources = all_pull(hosts[:1], store, [host.url for host in hosts])
    assert sources[0].counted == {store.where: len(DATA)}


def test_work_is_shared_evenly_and_what_a_dead_host_had_falls_to_all() -> None:
    hosts = [f"http://10.0.0.{number}:7070" for number in range(8)]
    orders = [ranked(hosts, PACK, number << 20) for number in range(800)]
    assert all(sorted(order) == hosts for order in orders)
    firsts, seconds = [order[0] for order in orders], [order[1] for order in orders if order[0] == hosts[0]]
    assert [firsts.count(host) for host in hosts] == [100] * 8
    assert all(5 < seconds.count(host) < 30 for host in hosts[1:])


HOSTS = [f"http://10.0.0.{number}:7070" for number in range(4)]
PARTS = [Part(0, number << 20, (number + 1) << 20, [number]) for number in range(200)]


def lists_of(own: str, folder: Path, most: int) -> list[list[Part]]:
    source = SharedSource(Mock(), PackCache(str(folder)), [host for host in HOSTS if host != own], own, "")
    return [list(found) for found in source.lists(PARTS, [PACK], most)]


def owners(parts: list[Part]) -> list[str]:
    return [ranked(HOSTS, PACK, part.start)[0] for part in parts]


@pytest.mark.parametrize("own", HOSTS)
def test_each_of_the_others_has_a_list_so_that_none_waits_for_the_slowest(own: str, tmp_path: Path) -> None:
    mine, *others = lists_of(own, tmp_path, 8)
    assert set(owners(mine)) == {own}
    behind = HOSTS[HOSTS.index(own) + 1 :] + HOSTS[: HOSTS.index(own)]
    assert [set(owners(found)) for found in others] == [{host} for host in behind]
    assert all(found == sorted(found, key=lambda part: part.start) for found in others)
    assert sorted(itertools.chain(mine, *others), key=lambda part: part.start) == PARTS


@pytest.mark.parametrize("most, lengths", [(1, [50, 150]), (2, [50, 150]), (3, [50, 100, 50])])
def test_more_hosts_than_lists_are_asked_in_turn(most: int, lengths: list[int], tmp_path: Path) -> None:
    found = lists_of(HOSTS[0], tmp_path, most)
    assert [len(one) for one in found] == lengths
    assert len(set(owners(found[1])[: 150 // lengths[1] + 1])) > 1
    assert sorted(itertools.chain(*found), key=lambda part: part.start) == PARTS


def test_urls_of_hosts() -> None:
    assert peer_url("http://10.0.0.1:7070/", option="peers") == "http://10.0.0.1:7070"
    with pytest.raises(InvalidOption, match="has a path"):
        peer_url("http://10.0.0.1:7070/v2", option="peers")


def hostile(answer: Callable[[socket.socket], None]) -> tuple[str, list[bytes]]:
    """A host that answers as it likes: its URL, and what it was asked."""
    server, asked = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _address = server.accept()
                with connection, contextlib.suppress(OSError):
                    asked.append(connection.recv(65536))
                    answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}", asked


def first_of(host: str, own: str) -> int:
    """Where a part begins that `host` is to fetch."""
    return next(at for at in range(0, len(DATA), 1 << 20) if ranked([host, own], PACK, at)[0] == host)


def test_a_host_that_sends_byte_by_byte_is_left_out(
    hosts: list[Host], store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 100000\r\n\r\n")
        for _byte in range(3000):
            connection.sendall(b".")
            time.sleep(0.1)

    monkeypatch.setattr(image_pull_peers, "_SENDING_SECONDS", 0.3)
    slow, asked = hostile(drip)
    source = SharedSource(StoreSource(store), hosts[0].cache, [slow], hosts[0].url, "secret")
    at, began = first_of(slow, hosts[0].url), time.monotonic()
    assert source.read(PACK, at, 100_000) == DATA[at : at + 100_000]
    assert time.monotonic() - began < 150 and len(asked) == 1  # seconds; all of it takes twice as long


def test_a_server_that_knows_nothing_of_waiting_is_not_asked_without_a_pause(
    hosts: list[Host], store: LayoutStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    monkeypatch.setattr(image_pull_peers, "_PATIENCE", 0.6)
    other, asked = hostile(refuse)
    source = SharedSource(StoreSource(store), hosts[0].cache, [other], hosts[0].url, "secret")
    at = first_of(other, hosts[0].url)
    assert source.read(PACK, at, 100) == DATA[at : at + 100]
    assert 1 <= len(asked) <= 4
