# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists of checksums: lines of sha256sum(1), of BSD's tools, or one digest alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol
from urllib.parse import urljoin

from .._errors import Conflict, NotFound
from .checksum import Checksum, hex_length

# No list that people publish comes near to it.
MOST_BYTES = 4 << 20
_GNU = re.compile(r"^\\?([0-9A-Fa-f]{32,128})(?: [ *]|\t+)(.+)$")
_BSD = re.compile(r"^\\?([A-Za-z0-9-]+) ?\((.+)\) ?= ?([0-9A-Fa-f]{32,128})$")
_ALONE = re.compile(r"^([0-9A-Fa-f]{32,128})(?: [ *]-)?$")


class Listed(Protocol):
    """What a list may have a digest of: `text` is its whole URL or path."""

    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...


def find_checksum(text: str, *, algorithm: str, source: Listed, where: str) -> Checksum:
    """The checksum of `source` in the list `text`, which came from `where` (a URL or a path).

    Raises NotFound when it isn't in there, Conflict when it is with more than one digest.
    """
    length = hex_length(algorithm)
    entries = [(name, digest) for name, digest in _entries(text, algorithm) if len(digest) == length]
    named = [(name, digest) for name, digest in entries if name.rsplit("/", 1)[-1] == source.name]
    # A list of one digest without a name is the file's own (NAME.sha256).
    found = {digest for _name, digest in named} or {digest for name, digest in entries if not name}
    if len(found) > 1:
        # Two folders hold a file of this name: the one that stands where the source is.
        found = {digest for name, digest in named if urljoin(where, name) == source.text.partition("?")[0]} or found
    if not found:
        raise NotFound(
            f"checksum: the list {where} has no {algorithm} digest of '{source.name}'; give the right list or the digest itself."
        )
    if len(found) > 1:
        raise Conflict(
            f"checksum: the list {where} has {len(found)} different {algorithm} digests of '{source.name}'; give the digest itself."
        )
    return Checksum(algorithm, found.pop())


def _entries(text: str, algorithm: str) -> Iterator[tuple[str, str]]:
    """(name, digest) of every line; an empty name is of a digest that stands alone. Signatures around a list are passed."""
    for line in text.splitlines():
        line = line.strip()
        bsd, alone, gnu = _BSD.match(line), _ALONE.match(line), _GNU.match(line)
        if bsd:
            if bsd[1].lower().replace("-", "") == algorithm:
                yield _name(line, bsd[2]), bsd[3].lower()
        elif alone:
            yield "", alone[1].lower()
        elif gnu:
            yield _name(line, gnu[2]), gnu[1].lower()


def _name(line: str, name: str) -> str:
    """A line that begins with a backslash has its name escaped (sha256sum(1))."""
    if not line.startswith("\\"):
        return name
    return re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), name)
