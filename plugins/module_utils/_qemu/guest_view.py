# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk's guest-visible content, block by block in order, whatever the format; blocks of zeros are told, not read."""

from __future__ import annotations

import contextlib
import errno
import os
from collections import deque
from collections.abc import Iterator

from .._errors import EngineError
from .._transfer.nbd import NbdClient
from .image import Image
from .nbd_export import stretches
from .nbd_server import served

BLOCK = 2 << 20
# Reads on their way together.
_AHEAD = 4


@contextlib.contextmanager
def guest_blocks(image: Image, *, size: int, direct: bool) -> Iterator[Iterator[bytearray | None]]:
    """The blocks of a disk of `size` bytes; `direct` says that the file's bytes are the guest's.

    Raises EngineError for what can't be read.
    """
    if direct:
        with open(image.path, "rb", buffering=0) as stream:
            yield _of_file(stream.fileno(), size)
        return
    with served(image) as (client,):
        if client.size != size:
            raise EngineError(f"QEMU sees {client.size} bytes in {image.path}, its header says {size}.")
        yield _of_export(client)


def length_of_block(number: int, size: int) -> int:
    """How many bytes the block of that number has in a disk of `size` bytes."""
    return min(BLOCK, size - number * BLOCK)


def _of_file(handle: int, size: int) -> Iterator[bytearray | None]:
    """A raw file; QEMU rounds its size up to whole sectors, and what is not in the file is zeros."""
    data = 0
    for offset in range(0, size, BLOCK):
        if data < offset:
            data = _next_data(handle, offset, size)
        if data >= offset + BLOCK:
            yield None
            continue
        block = bytearray(min(BLOCK, size - offset))
        view, at = memoryview(block), offset
        while view and (got := os.preadv(handle, [view], at)):
            view, at = view[got:], at + got
        yield block


def _next_data(handle: int, offset: int, size: int) -> int:
    """Where the next data begin: `offset` itself where the file system or device can't tell."""
    try:
        return os.lseek(handle, offset, os.SEEK_DATA)
    except OSError as error:
        # There are no more.
        return size + BLOCK if error.errno == errno.ENXIO else offset


def _of_export(client: NbdClient) -> Iterator[bytearray | None]:
    """Reads are sent ahead of what is taken, so the server works meanwhile."""
    pending: deque[int] = deque()
    for number, zeros in enumerate(_zero_blocks(client)):
        pending.append(0 if zeros else client.ask(number * BLOCK, length_of_block(number, client.size)))
        if len(pending) > _AHEAD:
            cookie = pending.popleft()
            yield client.take(cookie) if cookie else None
    for cookie in pending:
        yield client.take(cookie) if cookie else None


def _zero_blocks(client: NbdClient) -> Iterator[bool]:
    """For each block whether all of it reads as zeros, by the image's tables."""
    extents = stretches(client)
    until, zeros = 0, True
    for offset in range(0, client.size, BLOCK):
        end, all_zeros = min(offset + BLOCK, client.size), True
        while True:
            if until > offset and not zeros:
                all_zeros = False
            if until >= end:
                break
            until, zeros = next(extents, (end, True))
        yield all_zeros
