# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a server says that it wants to know who asks (RFC 9110, 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][A-Za-z0-9-]*)(?:\s+|$|(?=,))")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_MOST_LENGTH = 8192


@dataclass(frozen=True)
class Challenge:
    """One way in which a server lets itself be told who asks; `scheme` is in lower case."""

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def read_challenges(headers: Iterable[str]) -> list[Challenge]:
    """All challenges of an answer's WWW-Authenticate headers; what can't be read is left out."""
    found = []
    for text in headers:
        text, at = text[:_MOST_LENGTH], 0
        while scheme := _SCHEME.match(text, at):
            at = scheme.end()
            parameters = {}
            while named := _PARAMETER.match(text, at):
                at = named.end()
                quoted = named[2]
                value = named[3] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
                parameters[named[1].lower()] = value
            found.append(Challenge(scheme[1].lower(), parameters))
    return found
