# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file on a web server as a stream that survives its connections."""

from __future__ import annotations

import contextlib
import http.client
import re

from .._errors import TransferError
from .http import HttpClient, failures
from .silence_watch import SilenceWatch
from .stream import BLOCK, Broken, Clock, ContentChanged, Validators
from .url import RemoteUrl

# Failures one after the other without a byte between them, and how long we wait after each.
ATTEMPTS = 6
_LONGEST_PAUSE = 30.0
_CONTENT_RANGE = re.compile(r"^bytes (\d{1,20})-\d{1,20}/(\d{1,20})\Z")
_SIZE = re.compile(r"^\d{1,20}\Z", re.ASCII)
# Answers to HEAD of servers that only know GET.
_NO_HEAD = (400, 403, 405, 501)


def validators_of(response: http.client.HTTPResponse) -> Validators:
    """What an answer tells of the file; of a part it names the size of the whole."""
    headers = response.headers
    part = _CONTENT_RANGE.match(headers.get("Content-Range", ""))
    length = part[2] if part else headers.get("Content-Length", "")
    size = int(length) if _SIZE.match(length) else -1
    return Validators(headers.get("ETag", "")[:256], headers.get("Last-Modified", "")[:64], size)


def probe(client: HttpClient, url: RemoteUrl) -> Validators:
    """What the server says of the file without sending it: HEAD, or the first byte where HEAD is refused."""
    try:
        response = client.request(url, method="HEAD")
    except Broken:
        response = client.request(url, method="HEAD")
    except TransferError as error:
        if error.details.get("status") not in _NO_HEAD:
            raise
        response = client.request(url, headers={"Range": "bytes=0-0"})
    with response:
        return validators_of(response)


def read_small(client: HttpClient, url: RemoteUrl, *, most: int) -> bytes:
    """A small file whole; raises TransferError when it is longer than `most` bytes."""
    with client.request(url) as response, failures(url, client.access.idle_timeout):
        data = response.read(most + 1)
    if len(data) > most:
        raise TransferError(f"{url.shown} is longer than {most} bytes, so it is no list of checksums.")
    return data


class HttpStream:
    """Reads `url`. With `proven` the caller compares a checksum in the end, so that parts need no validator to be joined."""

    compressible = True

    def __init__(self, client: HttpClient, url: RemoteUrl, clock: Clock, *, proven: bool = False) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._proven = proven
        self._response: http.client.HTTPResponse | None = None
        self._failures = 0
        self.position = 0
        self.validators = Validators()

    def open(self, offset: int = 0, known: Validators | None = None) -> None:
        self.position = offset
        self.validators = known or Validators()
        if known is not None and offset == known.size:
            # Nothing is left to read; is it still the same?
            found = probe(self._client, self._url)
            if not self._same(known, found):
                raise ContentChanged(f"{self._url.shown} has other content than before.")
            return
        self._connected()

    def close(self) -> None:
        if self._response is not None:
            with contextlib.suppress(OSError):
                self._response.close()
            self._response = None

    def read(self, count: int) -> bytes:
        pieces, wanted = [], count
        watch = self._watch()
        while wanted > 0:
            try:
                piece = self._piece(wanted)
                watch.passed(len(piece))
            except Broken as error:
                self._again(error)
                watch = self._watch()
                continue
            if not piece:
                break
            pieces.append(piece)
            wanted -= len(piece)
            self.position += len(piece)
            self._failures = 0 if watch.lively else self._failures
        return b"".join(pieces)

    def _watch(self) -> SilenceWatch:
        return SilenceWatch(self._clock, self._client.access.idle_timeout, self._url.shown)

    def _piece(self, wanted: int) -> bytes:
        """Some bytes, none at the end; raises Broken when the connection ended too early."""
        response = self._response
        if response is None:
            return b""
        with failures(self._url, self._client.access.idle_timeout):
            piece = response.read1(wanted)
        size = self.validators.size
        if not piece and 0 <= self.position < size:
            raise Broken(f"{self._url.shown}: the server ended the connection after {self.position} of {size} bytes.")
        if 0 <= size < self.position + len(piece):
            raise TransferError(f"{self._url.shown}: the server sent more than the {size} bytes that it promised.")
        return piece

    def _again(self, error: Broken) -> None:
        """Connect anew after a failure; raises it when there were too many."""
        self.close()
        self._pause(error)
        self._connected()

    def _connected(self) -> None:
        while True:
            try:
                return self._connect()
            except Broken as error:
                self.close()
                self._pause(error)

    def _pause(self, error: Broken) -> None:
        self._failures += 1
        if self._failures >= ATTEMPTS:
            raise TransferError(f"{error} It was tried {ATTEMPTS} times; run the task again to go on.") from None
        self._clock.sleep(min(0.5 * 2.0 ** (self._failures - 1), _LONGEST_PAUSE))

    def _connect(self) -> None:
        """Ask for the rest; what doesn't belong to what was received is ContentChanged."""
        known = self.validators
        headers = {}
        if self.position:
            if not (known.strong or self._proven):
                raise ContentChanged(
                    f"{self._url.shown}: the server gives nothing to tell whether a rest is of the same file."
                )
            headers["Range"] = f"bytes={self.position}-"
            if known.strong:
                headers["If-Range"] = known.strong
        self._response = self._client.request(self._url, headers=headers)
        found = validators_of(self._response)
        if self.position and not self._same(known, found):
            raise ContentChanged(f"{self._url.shown} has other content than before.")
        self._check_start()
        self._require_end(self._response, found)
        self.validators = found

    def _require_end(self, response: http.client.HTTPResponse, found: Validators) -> None:
        """Without a size, only chunks or a checksum show that a file is whole."""
        if found.size < 0 and not self._proven and not response.chunked:
            raise TransferError(
                f"{self._url.shown}: the server does not tell the file's size, so one that is cut off would not be seen; give its "
                f"checksum."
            )

    def _same(self, known: Validators, found: Validators) -> bool:
        """Whether an answer is of the content that we have the beginning of."""
        told = [(known.etag, found.etag), (known.last_modified, found.last_modified)]
        if any(one and other and one != other for one, other in told) or known.size not in (-1, found.size):
            return False
        # A part is what we asked for by If-Range; a whole must prove itself.
        part = self._response is not None and self._response.status == 206
        return part or self._proven or known.strong == found.strong

    def _check_start(self) -> None:
        """A part must begin where we stopped; of a whole the beginning is passed over."""
        response = self._response
        if response is None or not self.position:
            return
        part = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
        if response.status == 206 and part and int(part[1]) == self.position:
            return
        if response.status != 200:
            raise ContentChanged(f"{self._url.shown}: the server does not give the rest from byte {self.position}.")
        left, watch = self.position, self._watch()
        while left:
            with failures(self._url, self._client.access.idle_timeout):
                piece = response.read1(min(left, BLOCK))
            if not piece:
                raise Broken(f"{self._url.shown}: the server ended the connection in the middle.")
            watch.passed(len(piece))
            left -= len(piece)
