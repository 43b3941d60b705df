# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layer of a containerDisk: a tar with the disk under /disk, compressed by all cores piece by piece.

KubeVirt reads the disk as its user 107, which owns it (user guide, "containerDisk").
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Callable

from .._formats.compress_pool import workers

_OWNER = 107
_PIECE = 4 << 20
_LEVEL = 6
# Deflate with the head and tail of gzip, without name and time.
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Layer:
    """A layer in a file: its digest and size, and the digest of the tar in it."""

    digest: str
    size: int
    diff_id: str


def write_layer(path: str, disk: str, name: str, *, report: Callable[[int], None]) -> Layer:
    """Write the layer that holds the file `disk` as disk/`name` to `path`; equal content gives equal bytes."""
    plain, packed, size = hashlib.sha256(), hashlib.sha256(), 0
    with open(path, "wb", opener=lambda one, flags: os.open(one, flags | os.O_NOFOLLOW, 0o600)) as stream:
        for member in _compressed(_counted(_tar(disk, name), plain, report)):
            packed.update(member)
            stream.write(member)
            size += len(member)
    return Layer(f"sha256:{packed.hexdigest()}", size, f"sha256:{plain.hexdigest()}")


def _counted(pieces: Iterable[bytes], state: hashlib._Hash, report: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for piece in pieces:
        state.update(piece)
        done += len(piece)
        report(done)
        yield piece


def _tar(disk: str, name: str) -> Iterator[bytes]:
    size = os.stat(disk).st_size
    yield _head("disk", tarfile.DIRTYPE, 0o555, 0) + _head(f"disk/{name}", tarfile.REGTYPE, 0o440, size)
    with open(disk, "rb") as stream:
        while piece := stream.read(_PIECE):
            yield piece
    # Files are filled up to whole records, and two empty ones end the tar.
    yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _head(name: str, kind: bytes, mode: int, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.mode, info.size, info.uid, info.gid = kind, mode, size, _OWNER, _OWNER
    return info.tobuf(tarfile.PAX_FORMAT)


def _compressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """One gzip member for each piece, which readers join (RFC 1952, 2.2)."""
    threads = workers()
    under_way: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for piece in pieces:
            under_way.append(pool.submit(_member, piece))
            if len(under_way) > 2 * threads:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _member(piece: bytes) -> bytes:
    engine = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return engine.compress(piece) + engine.flush()
