# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of files that many chains share: a base of ten thousand overlays is read once."""

from __future__ import annotations

from typing import BinaryIO

from .facts import ImageFacts
from .probe import inspect

MOST = 256


class Known:
    """The facts of the last files that were read, by what fstat said about them."""

    def __init__(self) -> None:
        self._facts: dict[tuple[object, ...], ImageFacts] = {}

    def inspect(
        self, stream: BinaryIO, size: int, *, declared: str | None, version: tuple[int, ...] = ()
    ) -> ImageFacts:
        """The facts of a file, read again unless they are known of this version of it; without one they are not kept."""
        if not version:
            return inspect(stream, size=size, declared=declared)
        key = (version, declared)
        found = self._facts.pop(key, None) or inspect(stream, size=size, declared=declared)
        self._facts[key] = found
        if len(self._facts) > MOST:
            del self._facts[next(iter(self._facts))]
        return found
