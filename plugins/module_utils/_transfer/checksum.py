# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checksums as tasks give them: an algorithm with its digest, or with the list that holds it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from typing import Protocol

from .._errors import InvalidOption
from .url import HTTP, RemoteUrl, is_url, parse_url

ALGORITHMS = ("sha256", "sha512", "sha384", "sha224", "sha1", "md5")
# Others can make a second file with the same digest of these.
WEAK = ("sha1", "md5")
DEFAULT = "sha256"
_HEX = re.compile(r"^[0-9a-f]+\Z")


class Digest(Protocol):
    """What hashlib's objects do."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True)
class Checksum:
    """A digest that is known: `text` is how tasks, results and records write it."""

    algorithm: str
    digest: str

    @property
    def text(self) -> str:
        return f"{self.algorithm}:{self.digest}"


@dataclass(frozen=True)
class Asked:
    """What the option `checksum` says: a checksum, or a list (by URL or path) in which it stands."""

    algorithm: str
    known: Checksum | None = None
    url: RemoteUrl | None = None
    path: str = ""


def new_digest(algorithm: str) -> Digest:
    """An empty digest. Old algorithms only tell whether a file is the published one, so FIPS hosts let us have them."""
    return hashlib.new(algorithm, usedforsecurity=False)


def hex_length(algorithm: str) -> int:
    """Hexadecimal digits of a digest."""
    return 2 * hashlib.new(algorithm, usedforsecurity=False).digest_size


def parse_checksum(text: str, *, option: str = "checksum") -> Asked:
    """What `text` asks for; raises InvalidOption."""
    name, colon, rest = text.strip().partition(":")
    algorithm, rest = name.lower(), rest.strip()
    if not colon or not rest or algorithm not in ALGORITHMS:
        raise InvalidOption(
            f"{option}: '{text[:200]}' is not an algorithm with what it gave; write it as sha256:DIGEST or sha256:URL-of-a-list "
            f"(algorithms: {', '.join(ALGORITHMS)})."
        )
    if is_url(rest):
        return Asked(algorithm, url=parse_url(rest, option=option, schemes=HTTP))
    if os.path.isabs(rest):
        return Asked(algorithm, path=rest)
    return Asked(algorithm, known=_given(algorithm, rest, option))


def _given(algorithm: str, text: str, option: str) -> Checksum:
    digits = text.lower()
    wanted = hex_length(algorithm)
    if not _HEX.match(digits) or len(digits) != wanted:
        raise InvalidOption(
            f"{option}: '{text[:200]}' is not a digest of {algorithm}, which has {wanted} hexadecimal digits."
        )
    return Checksum(algorithm, digits)
