# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One server as a store asks it: who we are, redirects, another try after what may pass, errors as sentences."""

from __future__ import annotations

import contextlib
import http.client
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin

from .._errors import InvalidOption, TransferError
from .._jobs.clock import Clock
from .._transfer.http import HTTP_REDIRECTS, MOST_REDIRECTS, Access, OtherProtocol
from .._transfer.keep_alive import KeptConnections
from .._transfer.silence_watch import SilenceWatch
from .._transfer.stream import Broken
from .._transfer.url import HTTP, RemoteUrl, parse_url
from .answers import MOST_ERROR, refusal
from .attempts import ATTEMPTS, Attempts, repeated
from .auth import PULL, Credentials
from .challenge import read_challenges
from .interface import StoreAccess

_MOST_TOKEN = 256 << 10
_PIECE = 256 << 10
_READ = ("GET", "HEAD")


@dataclass(frozen=True)
class Asked:
    """A request. `url` is a path of the server, or a whole URL; `act` is for messages: the object is "read", "written", "removed"."""

    method: str
    url: str
    purpose: str = PULL
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | memoryview | None = None
    act: str = "read"
    most: int = MOST_ERROR
    passes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Answer:
    """An answer that was read whole."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes
    url: RemoteUrl


class Server:
    """The server at `base`, for the repository `repository` there; one that has no TLS is asked at `plain`, if that may be."""

    def __init__(
        self,
        base: RemoteUrl,
        access: StoreAccess,
        clock: Clock,
        *,
        repository: str = "",
        plain: RemoteUrl | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.base = base
        self.clock = clock
        self.idle_timeout = access.idle_timeout
        self._plain = plain
        self._most = attempts
        self._access = access
        self._repository = repository
        self._connections = KeptConnections(
            Access(idle_timeout=access.idle_timeout, validate_certs=access.validate_certs, ca_path=access.ca_path)
        )
        self._credentials = self._new_credentials()

    def _new_credentials(self) -> Credentials:
        return Credentials(self.base, self._repository, self._access, self.clock, self._fetch_token)

    def close(self) -> None:
        """End all connections."""
        self._connections.close()

    def attempts(self) -> Attempts:
        """A new count of failures."""
        return Attempts(self.clock, self._most)

    def ask(self, asked: Asked) -> Answer:
        """The whole answer, tried again after what may pass.

        Raises NotFound, Unsupported, TransferError for a status that isn't of success nor among `asked.passes`.
        """
        return repeated(lambda: self.ask_once(asked), self.attempts())

    def ask_once(self, asked: Asked) -> Answer:
        """The same with one try."""
        with self.answered(asked) as (url, response):
            body = self.body(response, asked.most, url)
            if len(body) > asked.most:
                raise TransferError(
                    f"{url.shown}: the answer is longer than {asked.most} bytes, which is too much for it."
                )
            return Answer(response.status, response.headers, body, url)

    @contextlib.contextmanager
    def answered(self, asked: Asked) -> Iterator[tuple[RemoteUrl, http.client.HTTPResponse]]:
        """The answer, its body unread: of success, or one of `asked.passes`. Redirects were followed."""
        with contextlib.ExitStack() as stack:
            url, response = self._followed(asked, stack)
            if response.status not in asked.passes and not 200 <= response.status < 300:
                body = self.body(response, MOST_ERROR, url)[:MOST_ERROR]
                error = refusal(url.shown, response, body, act=asked.act, named=bool(self._access.username))
                raise self._other_protocol(error) if isinstance(error, OtherProtocol) else error
            yield url, response

    def body(self, response: http.client.HTTPResponse, most: int, url: RemoteUrl) -> bytes:
        """What comes, up to just more than `most` bytes; raises Broken when it comes too slowly or ends too early."""
        watch, pieces, left = SilenceWatch(self.clock, self.idle_timeout, url.shown), [], most + 1
        while left > 0 and (piece := response.read1(min(left, _PIECE))):
            watch.passed(len(piece))
            pieces.append(piece)
            left -= len(piece)
        if left > 0 and response.length:
            raise Broken(f"{url.shown}: the server ended the connection in the middle.")
        return b"".join(pieces)

    def own(self, text: str) -> RemoteUrl:
        """The URL that the server means by `text`, a Location; raises TransferError for one of another server."""
        url = self._resolved(self.base, text)
        if not self._is_own(url):
            raise TransferError(
                f"{self.base.shown}: the server wants uploads to go to {url.shown}, which is another server or has no TLS; a proxy "
                f"before a registry must tell it the outer host and scheme (Host, X-Forwarded-Proto)."
            )
        return url

    def own_page(self, page: RemoteUrl, text: str) -> str:
        """The URL of a list's next page, which the server named as `text` on `page`."""
        url = self._resolved(page, text)
        if not self._is_own(url):
            raise TransferError(
                f"{page.shown}: the list goes on at another server, {url.shown}, which is not followed."
            )
        return url.text

    def _followed(self, asked: Asked, stack: contextlib.ExitStack) -> tuple[RemoteUrl, http.client.HTTPResponse]:
        url = self._resolved(self.base, asked.url)
        for _redirect in range(MOST_REDIRECTS):
            try:
                response = self._authorised(asked, url, stack)
            except OtherProtocol as error:
                if error.tls or self._plain in (None, self.base):
                    raise
                self._go_plain()
                return self._followed(asked, stack)
            location = response.headers.get("Location")
            if response.status not in HTTP_REDIRECTS or not location or response.status in asked.passes:
                return url, response
            if asked.method not in _READ:
                raise TransferError(
                    f"{url.shown}: the server redirects what is {asked.act} there, which is not followed."
                )
            stack.pop_all().close()
            url = self._redirected(url, location)
        raise TransferError(f"{self.base.shown}: the server redirects more than {MOST_REDIRECTS} times.")

    def _go_plain(self) -> None:
        """From now on without TLS."""
        self.base = self._plain or self.base
        self._credentials = self._new_credentials()

    def _redirected(self, old: RemoteUrl, location: str) -> RemoteUrl:
        new = self._resolved(old, location)
        if old.scheme == "https" and new.scheme != "https":
            raise TransferError(
                f"{old.shown}: the server redirects to {new.shown}, without TLS, which is not followed."
            )
        return new

    def _resolved(self, old: RemoteUrl, text: str) -> RemoteUrl:
        try:
            return parse_url(urljoin(old.text, text), option="Location", schemes=HTTP)
        except (InvalidOption, ValueError):
            raise TransferError(f"{old.shown}: the server redirects to no URL that is followed.") from None

    def _authorised(self, asked: Asked, url: RemoteUrl, stack: contextlib.ExitStack) -> http.client.HTTPResponse:
        """The answer to a request that says who we are, to our own server only; a token that ended is renewed once or twice."""
        if not self._is_own(url):
            return self._sent(asked, url, "", stack)
        for _attempt in range(3):
            header = self._credentials.header(asked.purpose)
            response = self._sent(asked, url, header, stack)
            if response.status != 401:
                break
            challenges = read_challenges(response.headers.get_all("WWW-Authenticate") or [])
            if not self._credentials.answer(challenges, asked.purpose, header) or _attempt == 2:
                break
            stack.pop_all().close()
        return response

    def _sent(
        self, asked: Asked, url: RemoteUrl, authorization: str, stack: contextlib.ExitStack
    ) -> http.client.HTTPResponse:
        headers = {**asked.headers, **({"Authorization": authorization} if authorization else {})}
        try:
            return stack.enter_context(self._connections.exchange(asked.method, url, headers=headers, body=asked.body))
        except OtherProtocol as error:
            raise self._other_protocol(error) from None

    def _other_protocol(self, error: OtherProtocol) -> OtherProtocol:
        way_out = "leave plain_http out" if error.tls else "plain_http: true lets it be asked without"
        return OtherProtocol(f"{error} Ask it by the right port, or else {way_out}.", tls=error.tls)

    def _is_own(self, url: RemoteUrl) -> bool:
        base = self.base
        return (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)

    def _fetch_token(self, url: RemoteUrl, headers: Mapping[str, str]) -> bytes:
        def fetch() -> bytes:
            with self._connections.exchange("GET", url, headers=headers) as response:
                body = self.body(response, _MOST_TOKEN, url)
                if response.status != 200:
                    raise refusal(url.shown, response, body, act="asked for a token", named=bool(self._access.username))
                return body

        return repeated(fetch, self.attempts())
