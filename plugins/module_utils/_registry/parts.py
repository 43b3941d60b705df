# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a file on a server (RFC 9110, 14), gone on with where a connection broke."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator

from .._errors import TransferError, Unsupported
from .._transfer.silence_watch import SilenceWatch
from .._transfer.stream import Broken
from .._transfer.url import RemoteUrl
from .server import Asked, Server

_CONTENT_RANGE = re.compile(r"bytes (\d{1,20})-(\d{1,20})/(?:\d{1,20}|\*)", re.ASCII)
_PIECE = 1 << 20
# Of a server that sends the whole instead of a part, so much is passed over.
_MOST_PASSED_OVER = 16 << 20


def read_part(server: Server, path: str, offset: int, length: int) -> bytes:
    """Just these bytes of the file at `path`.

    Raises Broken after too many failures, NotFound, Unsupported for a server that gives no parts, TransferError when the file ends
    before.
    """
    data = bytearray(length)
    attempts, done = server.attempts(), 0
    while done < length:
        before = done
        try:
            for count in _Part(server, path, offset + done).into(memoryview(data)[done:]):
                done += count
        except Broken as error:
            if done > before:
                attempts.progress()
            attempts.failed(error)
    return bytes(data)


class _Part:
    """One request for the part that begins at `offset`."""

    def __init__(self, server: Server, path: str, offset: int) -> None:
        self._server = server
        self._path = path
        self._offset = offset

    def into(self, room: memoryview) -> Iterator[int]:
        """Fill `room`, or some of it; yields how many bytes came."""
        end = self._offset + len(room) - 1
        asked = Asked("GET", self._path, headers={"Range": f"bytes={self._offset}-{end}"}, passes=(416,))
        with self._server.answered(asked) as (url, response):
            self._begin(response, url)
            watch = SilenceWatch(self._server.clock, self._server.idle_timeout, url.shown)
            at = 0
            while at < len(room) and (count := response.readinto(room[at : at + _PIECE])):
                at += count
                watch.passed(count)
                yield count
            if at < len(room):
                self._require_broken(response, url, at)

    def _begin(self, response: http.client.HTTPResponse, url: RemoteUrl) -> None:
        """Be at `offset`; raises TransferError for another part than was asked for."""
        if response.status == 416:
            raise self._too_short(url)
        if response.status == 200:
            return self._pass_over(response, url)
        part = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if response.status != 206 or not part or int(part[1]) != self._offset:
            raise TransferError(
                f"{url.shown}: the server sent another part than byte {self._offset} and on, which was asked for."
            )

    def _pass_over(self, response: http.client.HTTPResponse, url: RemoteUrl) -> None:
        """The server sends the whole: read to `offset`, if that is near."""
        if self._offset > _MOST_PASSED_OVER:
            raise Unsupported(
                f"{url.shown}: the server gives no parts of files (Range), which images need; use one that does, or a mirror that does."
            )
        left, watch = self._offset, SilenceWatch(self._server.clock, self._server.idle_timeout, url.shown)
        while left:
            piece = response.read1(min(left, _PIECE))
            if not piece:
                raise (
                    self._too_short(url)
                    if not response.length
                    else Broken(f"{url.shown}: the server ended the connection.")
                )
            watch.passed(len(piece))
            left -= len(piece)

    def _require_broken(self, response: http.client.HTTPResponse, url: RemoteUrl, came: int) -> None:
        """A server may send less than was asked for; then the rest is asked for. Nothing at all is the end."""
        if response.length:
            raise Broken(f"{url.shown}: the server ended the connection in the middle.")
        if response.status == 200 or not came:
            raise self._too_short(url)

    def _too_short(self, url: RemoteUrl) -> TransferError:
        return TransferError(f"{url.shown} is cut off: it ends before what is wanted from byte {self._offset} on.")
