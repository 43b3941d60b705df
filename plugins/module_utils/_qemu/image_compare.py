# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`qemu-img compare` with progress and the place of the first difference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Callable

from .._errors import EngineError
from .._transfer.nbd import NbdClient
from .image import PROGRAM, Image
from .nbd_server import served
from .percent import run_with_percent

_MISMATCH = re.compile(rb"mismatch at offset (\d+)")
_EQUAL, _DIFFERENT = 0, 1
# QEMU tells the sector, or the start of its buffer; this much is looked at once for the byte.
_LOOK = 2 << 20


def first_difference(
    one: Image, other: Image, report: Callable[[float], None], *, pass_fds: Sequence[int] = ()
) -> int | None:
    """Where guests see the first byte that differs, None for equal content; a longer one is equal when its rest is zeros.

    `report` gets percentages. Raises EngineError for what can't be read.
    """
    near = _compare(one, other, report, pass_fds)
    return near if near is None else _exactly(one, other, near)


def _compare(one: Image, other: Image, report: Callable[[float], None], pass_fds: Sequence[int]) -> int | None:
    argv = [PROGRAM, "compare", "-p", "-f", one.driver, "-F", other.driver, one.path, other.path]
    code, said = run_with_percent(argv, report, pass_fds=pass_fds, fine=(_EQUAL, _DIFFERENT))
    found = _MISMATCH.search(said)
    if code == _DIFFERENT and not found:
        raise EngineError(f"{PROGRAM} compare does not tell where the images differ.", cmd=argv)
    return int(found[1]) if found else None


def _exactly(one: Image, other: Image, near: int) -> int:
    """The first byte at or after `near` that differs."""
    with served(one) as (left,), served(other) as (right,):
        for offset in range(near, max(left.size, right.size), _LOOK):
            here = [_read(client, offset) for client in (left, right)]
            if here[0] != here[1]:
                return offset + next(at for at, (a, b) in enumerate(zip(*here)) if a != b)
    return near


def _read(client: NbdClient, offset: int) -> bytes:
    """The bytes of a range, zeros behind the end of the disk."""
    length = min(_LOOK, client.size - offset)
    return bytes(client.read(offset, length) if length > 0 else b"").ljust(_LOOK, b"\0")
