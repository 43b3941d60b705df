# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP over the standard library: verified TLS, few and safe redirects, a time limit for silence."""

from __future__ import annotations

import base64
import contextlib
import http.client
import re
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from .._errors import InvalidOption, NotFound, TransferError
from .stream import Broken, ContentChanged
from .url import HTTP, RemoteUrl

MOST_REDIRECTS = 10
HTTP_REDIRECTS = (301, 302, 303, 307, 308)
# The server may do better later (RFC 9110, 15.5.9 and 15.6; RFC 6585).
PASSING = (408, 425, 429, 500, 502, 503, 504)
# What OpenSSL says, by its version, of an answer that isn't TLS.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
# An alert of TLS, which a server sends to who doesn't speak it (RFC 8446, 5.1), where http.client wants a status line.
_TLS_ALERT = "\x15\x03"


class OtherProtocol(TransferError):
    """The server speaks TLS where we asked without, or the reverse; `tls` says what it speaks."""

    def __init__(self, message: str, *, tls: bool) -> None:
        super().__init__(message)
        self.tls = tls


@dataclass(frozen=True)
class Access:
    """How servers are asked. `idle_timeout` is in seconds; the secrets go to the URL's own server only."""

    idle_timeout: float = 60.0
    validate_certs: bool = True
    ca_path: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class TimedConnection(http.client.HTTPConnection):
    """A socket's own time limit is for one byte; this one is for a whole answer's head."""

    def getresponse(self) -> http.client.HTTPResponse:
        late = threading.Event()
        watch = threading.Timer(float(self.timeout or 60.0), _shut, [self.sock, late])
        watch.daemon = True
        watch.start()
        try:
            response = super().getresponse()
        except (http.client.HTTPException, OSError):
            if not late.is_set():
                raise
            raise self._late() from None
        finally:
            watch.cancel()
            watch.join()
        if late.is_set():
            response.close()
            raise self._late()
        return response

    def _late(self) -> TimeoutError:
        return TimeoutError("the head of the answer did not come in time")


class TimedTlsConnection(TimedConnection, http.client.HTTPSConnection):
    """The same over TLS."""


def _shut(connection: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


class _Handler(urllib.request.AbstractHTTPHandler):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self._context = context

    def http_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(TimedConnection, request)

    def https_open(self, request: urllib.request.Request) -> Any:
        return self.do_open(TimedTlsConnection, request, context=self._context)

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows to http(s) only, never from https to http, and leaves secrets behind when the server is another."""

    max_redirections = MOST_REDIRECTS
    # Python 3.11 brings it.
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def __init__(self, secret: frozenset[str]) -> None:
        self._secret = secret

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        if new.scheme not in HTTP or (old.scheme == "https" and new.scheme == "http"):
            raise TransferError(
                f"The server at {old.hostname} sends us from {old.scheme} to '{new.scheme}', which is not followed."
            )
        if new.username is not None:
            raise TransferError(
                f"The server at {old.hostname} sends us to a URL with a user's name, which is not followed."
            )
        request = urllib.request.Request(newurl, method=req.get_method())
        same = (old.scheme, old.netloc) == (new.scheme, new.netloc)
        for name, value in {**req.headers, **req.unredirected_hdrs}.items():
            if name.lower() != "host" and (same or name.lower() not in self._secret):
                request.add_header(name, value)
        return request


class HttpClient:
    """Asks servers as `access` says; proxies come from the environment."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "imageops.fleet", **_own_headers(access)}
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            _Handler(tls_context(access)),
            _Redirects(frozenset(name.lower() for name in (*_own_headers(access), "Proxy-Authorization"))),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    def request(
        self, url: RemoteUrl, *, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """The answer, its body unread.

        Raises Broken for what may pass, NotFound or TransferError for what won't, ContentChanged for a part that isn't there.
        """
        wanted = urllib.request.Request(url.text, method=method, headers={**self._headers, **(headers or {})})
        with failures(url, self.access.idle_timeout):
            try:
                answer = self._opener.open(wanted, timeout=self.access.idle_timeout)
            except urllib.error.HTTPError as error:
                error.close()
                raise _refused(url, error) from None
        return cast(http.client.HTTPResponse, answer)


def _own_headers(access: Access) -> dict[str, str]:
    """What only the URL's own server may see."""
    found = dict(access.headers)
    if access.username:
        pair = base64.b64encode(f"{access.username}:{access.password}".encode()).decode()
        found["Authorization"] = f"Basic {pair}"
    return found


def tls_context(access: Access) -> ssl.SSLContext:
    """Whom TLS connections trust; raises InvalidOption for a file that holds no certificates."""
    context = ssl.create_default_context()
    try:
        if access.ca_path:
            context.load_verify_locations(cafile=access.ca_path)
    except (OSError, ssl.SSLError) as error:
        raise InvalidOption(f"ca_path: {access.ca_path} can't be read as certificates (PEM): {error}.") from None
    if not access.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refused(url: RemoteUrl, error: urllib.error.HTTPError) -> TransferError | NotFound:
    """What a status means for us."""
    said = f"{error.code} {_words(error.reason)}".strip()
    if error.code in (404, 410):
        return NotFound(f"{url.shown} does not exist: the server said {said}.", status=error.code)
    if error.code in (401, 403, 407):
        return TransferError(
            f"{url.shown} may not be read: the server said {said}; give url_username and url_password, or headers.",
            status=error.code,
        )
    if error.code == 416:
        return ContentChanged(f"{url.shown} is shorter than before.")
    if error.code in HTTP_REDIRECTS:
        return TransferError(
            f"{url.shown} redirects in a circle, more than {MOST_REDIRECTS} times, or to no URL of http(s).",
            status=error.code,
        )
    kind = Broken if error.code in PASSING else TransferError
    return kind(f"{url.shown} can't be read: the server said {said}.", status=error.code)


@contextlib.contextmanager
def failures(url: RemoteUrl, idle_timeout: float) -> Iterator[None]:
    """Say what goes wrong while reading `url` as one sentence of ours."""
    try:
        yield
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        raise _broken(url, cause, idle_timeout) from None
    except (ValueError, UnicodeError) as error:
        raise TransferError(f"{url.shown}: the server's answer can't be understood: {_words(error)}.") from None


def _words(said: object) -> str:
    """What a server said, or what holds its bytes, as part of one sentence."""
    return " ".join(_UNPRINTABLE.sub(" ", str(said)).split())[:200]


def _broken(url: RemoteUrl, cause: object, idle_timeout: float) -> TransferError:
    if isinstance(cause, ssl.SSLCertVerificationError):
        return TransferError(
            f"{url.shown}: the server's certificate is not trusted: {cause.verify_message}; give its authority as ca_path."
        )
    if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
        return OtherProtocol(f"{url.shown}: the server does not speak TLS on this port.", tls=False)
    if isinstance(cause, http.client.BadStatusLine) and str(cause).startswith(_TLS_ALERT):
        return OtherProtocol(f"{url.shown}: the server speaks TLS on this port.", tls=True)
    if isinstance(cause, (socket.timeout, TimeoutError)):
        return Broken(f"{url.shown}: nothing came for {idle_timeout:g} seconds (idle_timeout).")
    if isinstance(cause, http.client.IncompleteRead):
        return Broken(f"{url.shown}: the server ended the connection in the middle.")
    said = _words(getattr(cause, "strerror", None) or cause) or type(cause).__name__
    return Broken(f"{url.shown}: the connection failed: {said}{_way(cause)}.")


def _way(cause: object) -> str:
    """What can be done where it is known."""
    if isinstance(cause, ConnectionRefusedError):
        return "; start the server, or give the place where it listens"
    if isinstance(cause, socket.gaierror):
        return "; give a host's name that this host can resolve"
    return ""
