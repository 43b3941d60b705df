# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checksum that a source on this host must have: read from a list where it stands in one, compared with the file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Callable

from .._errors import Conflict
from .._transfer.checksum import Checksum, new_digest, parse_checksum

_PIECE = 1 << 20


@dataclass(frozen=True)
class _File:
    """A file as lists of checksums know it."""

    text: str

    @property
    def name(self) -> str:
        return os.path.basename(self.text)


def asked_checksum(path: str, params: dict[str, Any]) -> Checksum | None:
    """The checksum that the file `path` must have; None when none is asked for. Raises like `parse_checksum` and `listed`."""
    text = params.get("checksum")
    if text is None:
        return None
    asked = parse_checksum(text)
    if asked.known is not None:
        return asked.known
    from .fetch_source import access_of, listed

    return listed(asked, _File(path), access_of(params, headers={}, password=""))


def require_checksum(path: str, handle: int, wanted: Checksum, report: Callable[[int, int], Any]) -> None:
    """Raise Conflict unless all bytes of the open file `handle`, which `path` names, have the checksum `wanted`.

    `report` gets where the file was read to, and how many bytes of that piece had to come; zeros are taken for a hole.
    """
    digest, place, zeros = new_digest(wanted.algorithm), 0, bytes(_PIECE)
    while piece := os.pread(handle, _PIECE, place):
        digest.update(piece)
        place += len(piece)
        report(place, 0 if zeros.startswith(piece) else len(piece))
    if digest.hexdigest() != wanted.digest:
        raise Conflict(
            f"checksum: {path} has the {wanted.algorithm} digest {digest.hexdigest()}, and {wanted.digest} is asked for; nothing was "
            f"made of it. Give the right file or the right checksum."
        )


def require_checksum_of(path: str, wanted: Checksum) -> None:
    """As `require_checksum`, for a file that isn't open yet."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        require_checksum(path, handle, wanted, lambda place, read: None)
    finally:
        os.close(handle)
