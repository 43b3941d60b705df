# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the source of a conversion comes from, for the task that plans it and the job that does it."""

from __future__ import annotations

import os
from typing import Any

from .._errors import NotFound
from .._transfer.checksum import Asked, Checksum
from .._transfer.checksum_list import MOST_BYTES, Listed, find_checksum
from .._transfer.http import Access, HttpClient
from .._transfer.http_stream import HttpStream, probe, read_small
from .._transfer.nbd_stream import NbdStream, export_size
from .._transfer.silence_watch import idle_timeout_of
from .._transfer.stream import Clock, Source, Validators
from .._transfer.url import RemoteUrl


def access_of(params: dict[str, Any], *, headers: dict[str, str], password: str) -> Access:
    """How a server is asked; raises InvalidOption for an `idle_timeout` that can't be meant."""
    return Access(
        idle_timeout=idle_timeout_of(params["idle_timeout"]),
        validate_certs=params["validate_certs"],
        ca_path=params["ca_path"] or "",
        username=params.get("url_username") or params.get("username") or "",
        password=password,
        headers=headers,
    )


def resolve(asked: Asked | None, url: RemoteUrl, access: Access) -> Checksum | None:
    """The checksum that `asked` names for `url`; raises NotFound, Conflict or TransferError when a list doesn't tell it."""
    if asked is None or asked.known is not None:
        return asked.known if asked else None
    return listed(asked, url, access_beside(asked.url, url, access) if asked.url else access)


def access_beside(other: RemoteUrl, url: RemoteUrl, access: Access) -> Access:
    """How the server of `other` is asked; credentials are for the server of the source `url`."""
    if (other.scheme, other.host, other.port) == (url.scheme, url.host, url.port):
        return access
    return Access(access.idle_timeout, access.validate_certs, access.ca_path)


def listed(asked: Asked, source: Listed, access: Access) -> Checksum:
    """The checksum of `source` in the list that `asked` names; raises NotFound, Conflict or TransferError."""
    if asked.url is None:
        where, data = asked.path, _read_list(asked.path)
    else:
        where = asked.url.text.partition("?")[0]
        data = read_small(HttpClient(access), asked.url, most=MOST_BYTES)
    return find_checksum(data.decode("utf-8", "replace"), algorithm=asked.algorithm, source=source, where=where)


def _read_list(path: str) -> bytes:
    if not os.path.isfile(path):
        raise NotFound(f"checksum: the list {path} is not on this host; give its right path, or its URL.")
    with open(path, "rb") as stream:
        return stream.read(MOST_BYTES)


def look(url: RemoteUrl, access: Access) -> Validators:
    """What the server says of the source, without reading it; raises what opening it raises."""
    if url.is_nbd:
        return Validators(size=export_size(url, access))
    return probe(HttpClient(access), url)


def open_source(url: RemoteUrl, access: Access, clock: Clock, *, proven: bool) -> Source:
    """The source as a stream that isn't open yet; `proven` when a checksum is compared in the end."""
    if url.is_nbd:
        return NbdStream(url, clock, access, proven=proven)
    return HttpStream(HttpClient(access), url, clock, proven=proven)
