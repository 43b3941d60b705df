# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lists that a registry gives page by page (OCI distribution specification 1.1, "Listing tags"; RFC 8288)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from .._errors import TransferError
from .server import Asked, Server

MOST_PAGE = 4 << 20
_MOST_PAGES = 1000
_MOST_BYTES = 64 << 20
_NEXT = re.compile(r'<([^>]{1,4096})>\s*;[^,]*\brel="?next"?')


def pages(server: Server, first: Asked) -> Iterator[tuple[Mapping[str, Any], Mapping[str, str]]]:
    """Content and headers of each page; raises TransferError for what is no list, and for a list without an end."""
    asked, seen, left = first, set[str](), _MOST_BYTES
    for _page in range(_MOST_PAGES):
        seen.add(asked.url)
        answer = server.ask(asked)
        left -= len(answer.body)
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise TransferError(f"{answer.url.shown}: the registry's answer is no list.")
        yield found, dict(answer.headers.items())
        following = _NEXT.search(answer.headers.get("Link", ""))
        if not following:
            return
        url = server.own_page(answer.url, following[1])
        if url in seen or left < 0:
            break
        asked = Asked(asked.method, url, asked.purpose, asked.headers, most=asked.most)
    raise TransferError(f"{server.base.shown}: the registry's list has no end.")
