# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of packs from other hosts that pull the same image: each part is fetched from the catalog by one of them, and handed on.

Who fetches a part follows from its place and the list of hosts, so that nobody has to agree on anything. One that doesn't answer isn't
asked any more, and the next in the part's own order takes its place; at last the catalog is asked.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import zip_longest

from .._catalog.blocks import DiskBlocks
from .._catalog.ranges import REQUEST, UNDER_WAY, Part, make_parts
from .._errors import ImageOpsError, InvalidOption, NoSpace
from .._files import require_space, state_dir
from .._registry.interface import Store
from .._registry.pack_cache import PackCache
from .._transfer.http import Access
from .._transfer.keep_alive import KeptConnections
from .._transfer.url import HTTP, parse_url
from .image_pull_request import PullRequest

_WAIT_HEADER = "X-Imageops-Wait"
# How long a host is asked to wait with its answer for what it doesn't have yet, and may take to answer at all.
_WAIT_SECONDS, _SILENT_SECONDS = 5, 8.0
# How long one that answers may take to have a part that it is to fetch before the others.
_PATIENCE = 30.0
# Hosts begin one after the other: so long after this one has begun, one that can't be reached may be about to begin.
_GRACE, _PAUSE = 5.0, 0.25
# One that has begun to send a part, which is 1 MiB, has so long for it.
_SENDING_SECONDS = 120.0
_PIECE = 256 << 10
_PARTIAL, _NOT_YET = 206, 404
# What else has to be noted on the file system of the cache needs room too.
_RESERVE = 64 << 20
# What is shared out.
_UNIT = 1 << 20


def peer_url(text: str, *, option: str) -> str:
    """The URL of a host's server as hosts compare them; raises InvalidOption."""
    url = parse_url(text, option=option, schemes=HTTP)
    if url.path.strip("/") or url.query:
        raise InvalidOption(f"{option}: {url.shown} has a path; give a server only, such as http://HOST:PORT.")
    return url.text.rstrip("/")


def ranked(hosts: Collection[str], pack: str, start: int) -> list[str]:
    """The hosts in the order in which they are to fetch what begins at `start` of the pack.

    Of as many neighbours as there are hosts each host is the first for one: a host with more than its share would keep all waiting.
    Their order among each other follows from the place (hashes), so that the share of one that is dead falls to all. All hosts must be
    given equal lists: with one host more or less nearly every part is another one's, and fetched by more than one.
    """
    number = start // _UNIT
    place, turn = f"{pack} {number // len(hosts)} ", number % len(hosts)
    order = sorted(hosts, key=lambda host: hashlib.sha256((place + host).encode()).digest())
    return order[turn:] + order[:turn]


def parts_of(request: PullRequest, blocks: DiskBlocks, missing: Sequence[int]) -> list[Part]:
    """What is to be fetched; hosts that hand on to each other cut packs alike, whatever each of them lacks."""
    most = min(REQUEST, UNDER_WAY // request.connections)
    if not request.peers:
        return make_parts(blocks, missing, most=most)
    wanted = set(missing)
    kept = (
        (part, [index for index in part.blocks if index in wanted]) for part in make_parts(blocks, range(len(blocks)))
    )
    return [Part(part.pack, part.start, part.end, found) for part, found in kept if found]


@contextlib.contextmanager
def shared_source(request: PullRequest, store: Store) -> Iterator[StoreSource | SharedSource]:
    """Where the parts come from."""
    origin = StoreSource(store)
    if not request.peers:
        yield origin
        return
    cache = PackCache(pack_folder(request.share["port"]))
    with contextlib.closing(SharedSource(origin, cache, request.peers, request.share["url"], request.token)) as source:
        yield source


def pack_folder(port: int) -> str:
    """Where that is kept which the server on the port hands on."""
    return os.path.join(state_dir("packs"), str(port))


class StoreSource:
    """Parts from a catalog and its mirrors. `counted` says how many bytes came from where."""

    warning = ""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self.counted: Counter[str] = Counter()

    def read(self, pack: str, start: int, length: int) -> bytes:
        data = self._store.read_blob(pack, start, length)
        self.count(self._store.where, len(data))
        return data

    def read_again(self, pack: str, start: int, length: int) -> bytes:
        self._store.doubt(pack)
        return self.read(pack, start, length)

    def taken(self, pack: str, start: int, data: bytes) -> None:
        """Nobody else gets it."""

    def doubt(self, pack: str) -> bool:
        return self._store.doubt(pack)

    def lists(self, parts: Sequence[Part], packs: Sequence[str], most: int) -> list[Sequence[Part]]:
        """What is fetched beside each other, at most `most` lists."""
        return [parts]

    def count(self, where: str, length: int) -> None:
        """`length` bytes came from there."""
        with self._lock:
            self.counted[where] += length


class SharedSource:
    """Parts from `peers` and the catalog, and what came kept in `cache`, from where this host's server hands it on.

    `own` is the URL of that server as the others know it. `warning` tells why not all is handed on.
    """

    def __init__(self, origin: StoreSource, cache: PackCache, peers: Sequence[str], own: str, token: str) -> None:
        self._origin = origin
        self._cache = cache
        self._own = own
        self._hosts = self._living = frozenset({*peers, own})
        self._sent: dict[tuple[str, int], str] = {}
        self._answered: set[str] = set()
        self._began = time.monotonic()
        self.warning = ""
        self._connections = KeptConnections(Access(idle_timeout=_SILENT_SECONDS))
        self._headers = {_WAIT_HEADER: str(_WAIT_SECONDS), **({"Authorization": f"Bearer {token}"} if token else {})}

    @property
    def counted(self) -> Counter[str]:
        return self._origin.counted

    def lists(self, parts: Sequence[Part], packs: Sequence[str], most: int) -> list[Sequence[Part]]:
        """What this host fetches from the catalog for all, and what each of the others does: at once, so that none waits for another,
        also not for the slowest of them.

        The host behind this one in their order comes first: if all began with the same, all would ask one while the links of the
        others had nothing to do. Where there are more hosts than lists, those of a list are asked in turn.
        """
        by_host: dict[str, list[Part]] = {}
        for part in parts:
            by_host.setdefault(ranked(self._hosts, packs[part.pack], part.start)[0], []).append(part)
        mine = by_host.pop(self._own, [])
        others = [by_host[host] for host in sorted(by_host, key=lambda host: (host < self._own, host))]
        step = max(1, most - 1)
        return [mine, *(_in_turn(others[first::step]) for first in range(min(step, len(others))))]

    def read(self, pack: str, start: int, length: int) -> bytes:
        """The part from this host's cache, the host that is to fetch it, or the catalog."""
        if self._cache.has(pack, start, length):
            return self._cache.read(pack, start, length)
        return self._from_peers(pack, start, length) or self._kept(pack, start, self._origin.read(pack, start, length))

    def read_again(self, pack: str, start: int, length: int) -> bytes:
        """The part from the catalog, since what came was damaged; a host that sent it isn't asked any more."""
        self._leave(self._sent.pop((pack, start), ""))
        return self._kept(pack, start, self._origin.read_again(pack, start, length))

    def taken(self, pack: str, start: int, data: bytes) -> None:
        """What another host sent is handed on when it was right."""
        if (pack, start) in self._sent:
            self._kept(pack, start, data)

    def doubt(self, pack: str) -> bool:
        return self._origin.doubt(pack)

    def close(self) -> None:
        """End the connections to other hosts."""
        self._connections.close()

    def _kept(self, pack: str, start: int, data: bytes) -> bytes:
        """The same, handed on as long as there is room for that; a host that hands nothing on costs others some time, and no more."""
        try:
            if not self.warning:
                require_space(self._cache.folder, len(data) + _RESERVE, what="What is handed on to other hosts")
                self._cache.write(pack, start, data)
        except (NoSpace, OSError) as error:
            self.warning = (
                f"share: {self._cache.folder} takes no more, so this host handed on only a part of what it has: {error}"
            )
        return data

    def _from_peers(self, pack: str, start: int, length: int) -> bytes:
        """What the first of those has that come before this host; nothing when it is this host's turn."""
        for host in ranked(self._hosts, pack, start):
            if host == self._own:
                break
            if host not in self._living:
                continue
            data = self._ask(host, pack, start, length)
            if len(data) == length:
                self._origin.count(host, length)
                self._sent[pack, start] = host
                return data
            self._leave(host)
        return b""

    def _leave(self, host: str) -> None:
        self._living = self._living - {host}

    def _ask(self, host: str, pack: str, start: int, length: int) -> bytes:
        """The part from a host, as soon as it has it; anything else when it doesn't answer, or has none in time."""
        url = parse_url(f"{host}/v2/packs/blobs/{pack}", option="peers", schemes=HTTP)
        headers = {**self._headers, "Range": f"bytes={start}-{start + length - 1}"}
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and host in self._living:
            try:
                with self._connections.exchange("GET", url, headers=headers) as response:
                    self._answered.add(host)
                    if response.status != _NOT_YET:
                        return _received(response, length) if response.status == _PARTIAL else b""
                # It may be another server, which doesn't wait.
                time.sleep(_PAUSE)
            except (ImageOpsError, OSError, http.client.HTTPException):
                if host in self._answered or time.monotonic() - self._began > _GRACE:
                    return b""
                time.sleep(_PAUSE)
        return b""


def _in_turn(lists: Sequence[Sequence[Part]]) -> list[Part]:
    """The first of each list, the second of each, and so on."""
    return [part for turn in zip_longest(*lists) for part in turn if part is not None]


def _received(response: http.client.HTTPResponse, length: int) -> bytes:
    """What comes; less than `length` bytes from a host that ends, or sends too slowly, and more from one that sends another part."""
    pieces, left, end = [], length + 1, time.monotonic() + _SENDING_SECONDS
    while left and time.monotonic() < end and (piece := response.read1(min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
