# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blobs go to a registry (OCI distribution specification 1.1, "Pushing blobs"): small ones at once, others in pieces.

After a broken connection the registry is asked how much it has, so that a cut costs one piece at most. Docker's registry (2.8) knows
nothing of an upload any more of which a piece was cut; then the blob is sent anew.
"""

from __future__ import annotations

import re
from typing import Callable

from .._errors import NotFound, TransferError, Unsupported
from .._transfer.stream import Broken
from .attempts import Attempts
from .auth import PUSH
from .server import Answer, Asked, Server

PIECE = 8 << 20
# A piece is held in memory.
_MOST_PIECE = 64 << 20
_RANGE = re.compile(r"(?:bytes=)?0-(\d{1,20})", re.ASCII)
_SESSION_LOST = (404, 416)

# Gives the bytes from an offset, as many as are asked for.
Read = Callable[[int, int], "bytes | memoryview"]


class Upload:
    """The blob `digest` of `size` bytes for the repository whose API is below `path`."""

    def __init__(self, server: Server, path: str, digest: str, size: int, read: Read) -> None:
        self._server = server
        self._path = path
        self._digest = digest
        self._size = size
        self._read = read
        self._location = ""
        self._least = self._furthest = 0

    def run(self) -> None:
        """Send it; raises Broken after too many failures without a byte between them."""
        attempts = self._server.attempts()
        done = self._begin()
        while True:
            try:
                done = self._send(done, attempts)
                return self._finish(done)
            except Broken as error:
                attempts.failed(error)
                done = self._where(done)

    def _begin(self) -> int:
        answer = self._server.ask(self._asked("POST", f"{self._path}/blobs/uploads/", b""))
        self._went_on(answer)
        least = answer.headers.get("OCI-Chunk-Min-Length", "")
        self._least = int(least) if re.fullmatch(r"\d{1,10}", least, re.ASCII) else 0
        if self._least > _MOST_PIECE:
            raise Unsupported(
                f"{self._server.base.shown}: the registry wants pieces of at least {self._least} bytes (OCI-Chunk-Min-Length), and at most "
                f"{_MOST_PIECE} are sent at once; let its operator allow smaller ones."
            )
        return 0

    def _send(self, done: int, attempts: Attempts) -> int:
        """Send all pieces but for what goes with the last request; how far that is."""
        piece = max(PIECE, self._least)
        if self._size <= piece:
            return done
        while done < self._size:
            length = min(piece, self._size - done)
            headers = {"Content-Range": f"{done}-{done + length - 1}"}
            try:
                answer = self._server.ask_once(self._asked("PATCH", self._location, self._read(done, length), headers))
            except (NotFound, TransferError) as error:
                if error.details.get("status") not in _SESSION_LOST:
                    raise
                raise Broken(str(error)) from None
            self._went_on(answer)
            done += length
            if done > self._furthest:
                # What was sent before, and is sent anew, is no progress.
                self._furthest = done
                attempts.progress()
        return done

    def _finish(self, done: int) -> None:
        joint = "&" if "?" in self._location else "?"
        location = f"{self._location}{joint}digest={self._digest.replace(':', '%3A')}"
        rest = self._read(done, self._size - done)
        try:
            answer = self._server.ask_once(self._asked("PUT", location, rest))
        except (NotFound, TransferError) as error:
            if error.details.get("status") not in _SESSION_LOST:
                raise
            raise Broken(str(error)) from None
        told = answer.headers.get("Docker-Content-Digest", self._digest)
        if told != self._digest:
            raise TransferError(f"{self._server.base.shown}: the registry kept {self._digest} as {told[:80]}.")

    def _where(self, done: int) -> int:
        """How far the registry says that it is; from the start when it doesn't know the upload any more."""
        try:
            answer = self._server.ask(self._asked("GET", self._location, None))
        except (NotFound, TransferError, Unsupported):
            return self._begin()
        found = _RANGE.fullmatch(answer.headers.get("Range", "").strip())
        has = int(found[1]) + 1 if found and int(found[1]) else 0
        if self._size <= max(PIECE, self._least) or not done <= has <= self._size:
            # What there is of it isn't what we know of.
            return self._begin()
        self._went_on(answer)
        return has

    def _went_on(self, answer: Answer) -> None:
        location = answer.headers.get("Location")
        if location:
            self._location = self._server.own(location).text
        elif not self._location:
            raise TransferError(f"{self._server.base.shown}: the registry names no place for an upload.")

    def _asked(
        self, method: str, url: str, body: bytes | memoryview | None, headers: dict[str, str] | None = None
    ) -> Asked:
        kind = {} if body is None else {"Content-Type": "application/octet-stream"}
        return Asked(method, url, PUSH, {**kind, **(headers or {})}, body, act="written")
