# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of blocks become packs, and packs are sent while the next ones are filled."""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import BinaryIO

from .._catalog.digest import Descriptor
from .._catalog.media_types import PACK
from .._catalog.packs import PACK_SIZE, Place, pack_size
from .._faults import fault_point
from .._registry.interface import Store
from .image_publish_journal import PublishJournal, SentPack

_UNDER_WAY = 2
# A larger pack is kept in a file while it is filled and sent.
_MOST_MEMORY = 2 * PACK_SIZE


@dataclass
class _Pack:
    """The pack that is being filled."""

    limit: int
    blocks: list[tuple[bytes, int, int]] = field(default_factory=list)
    size: int = 0
    state: hashlib._Hash = field(default_factory=hashlib.sha256)
    memory: bytearray = field(default_factory=bytearray)
    file: BinaryIO | None = None

    @property
    def digest(self) -> str:
        return f"sha256:{self.state.hexdigest()}"


class Packer:
    """Collects frames in their order; equal frames in equal order give equal packs.

    `sent` are the packs in their order. Who fills it says `left`, about how many bytes of frames are still to come, and `kept`, how
    many packs the image has besides. Files of large packs are in `folder`. `limit` is the most bytes a second on the average.
    """

    def __init__(self, store: Store, journal: PublishJournal, *, folder: str, limit: int | None = None) -> None:
        self._store = store
        self._journal = journal
        self._folder = folder
        self._limit = limit
        self._began = time.monotonic()
        self._pool = ThreadPoolExecutor(_UNDER_WAY)
        self._under_way: deque[Future[None]] = deque()
        self._places: dict[bytes, tuple[int, int, int]] = {}
        self._pack = _Pack(PACK_SIZE)
        self.sent: list[Descriptor] = []
        self.left = self.kept = 0
        self.bytes = 0

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._places

    def __len__(self) -> int:
        return len(self._places)

    def add(self, digest: bytes, frame: bytes | memoryview) -> None:
        """The next block's frame."""
        pack = self._pack
        self._places[digest] = (len(self.sent), pack.size, len(frame))
        pack.blocks.append((digest, pack.size, len(frame)))
        pack.state.update(frame)
        pack.size += len(frame)
        self._keep(pack, frame)
        self.bytes += len(frame)
        if self._limit:
            time.sleep(max(0.0, self.bytes / self._limit - (time.monotonic() - self._began)))
        if pack.size >= pack.limit:
            self._send()

    def place_of(self, digest: bytes) -> Place | None:
        """Where the block is, None for one that wasn't added; all must have been sent."""
        found = self._places.get(digest)
        return None if found is None else Place(self.sent[found[0]].digest, found[1], found[2])

    def finish(self) -> None:
        """Send what is left, and wait until all has come."""
        if self._pack.size:
            self._send()
        self._wait(0)

    def close(self) -> None:
        """End all threads; what wasn't begun isn't sent."""
        for future in self._under_way:
            future.cancel()
        self._pool.shutdown()
        if self._pack.file:
            self._pack.file.close()

    def _keep(self, pack: _Pack, frame: bytes | memoryview) -> None:
        if pack.file is None and pack.limit > _MOST_MEMORY:
            pack.file = self._new_file()
        if pack.file is None:
            pack.memory += frame
        else:
            pack.file.write(frame)

    def _new_file(self) -> BinaryIO:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        path = os.path.join(self._folder, str(len(self.sent)))
        return open(path, "wb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW, 0o600))

    def _send(self) -> None:
        pack = self._pack
        self.sent.append(Descriptor(PACK, pack.digest, pack.size))
        self._pack = _Pack(pack_size(self.kept + len(self.sent), left=self.left))
        self._journal.note(SentPack(pack.digest, pack.size, pack.blocks))
        fault_point("publish:pack-noted")
        self._wait(_UNDER_WAY - 1)
        self._under_way.append(self._pool.submit(self._write, pack))

    def _write(self, pack: _Pack) -> None:
        if pack.file is None:
            self._store.write_blob(bytes(pack.memory), pack.digest)
            pack.memory.clear()
        else:
            pack.file.close()
            self._store.write_blob_file(pack.file.name, pack.digest, pack.size)
            os.unlink(pack.file.name)
        fault_point("publish:pack-stored")

    def _wait(self, most: int) -> None:
        while len(self._under_way) > most:
            self._under_way.popleft().result()
