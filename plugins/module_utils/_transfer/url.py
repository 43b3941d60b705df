# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs of sources: which there are, what of them may be told, and what of them must not be in them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

from .._errors import InvalidOption, Unsupported

HTTP = ("http", "https")
NBD = ("nbd", "nbds", "nbd+unix")
NBD_PORT = 10809
_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]")
# What may stand in a path or a query as it is (RFC 3986, 3.3 and 3.4); a percent sign begins what is encoded already.
_SAFE = "/%:@!$&'()*+,;=~-._?"
_MOST_LENGTH = 8192
_MOST_LABEL = 63


def is_url(text: str) -> bool:
    """Whether a source is named by a URL rather than by a path."""
    return bool(_URL.match(text))


@dataclass(frozen=True)
class RemoteUrl:
    """A URL that was checked. `text` is for requests only: its query may be a signature that opens the door."""

    scheme: str
    host: str
    port: int
    path: str
    query: str
    text: str

    @property
    def shown(self) -> str:
        """What results, records and messages tell."""
        return self.text.partition("?")[0] + ("?..." if self.query and self.scheme in HTTP else "")

    @property
    def name(self) -> str:
        """The file's name, as a list of checksums knows it."""
        return unquote(self.path.rsplit("/", 1)[-1])

    @property
    def is_nbd(self) -> bool:
        return self.scheme in NBD

    @property
    def export(self) -> str:
        """Name of the NBD export; the empty one is the default (NBD URI specification)."""
        return unquote(self.path[1:])

    @property
    def socket(self) -> str:
        """Path of the socket of a nbd+unix URL."""
        return parse_qs(self.query).get("socket", [""])[0]

    @property
    def identity(self) -> dict[str, str]:
        """What a record keeps: of a query its digest, which tells two of them apart."""
        told = {"url": self.shown}
        if self.query and self.scheme in HTTP:
            told["query"] = hashlib.sha256(self.query.encode()).hexdigest()[:16]
        return told


def parse_url(text: str, *, option: str, schemes: tuple[str, ...] = HTTP + NBD) -> RemoteUrl:
    """The URL `text`; raises InvalidOption, or Unsupported for a kind of URL that we know and don't read."""
    if len(text) > _MOST_LENGTH or _FORBIDDEN.search(text):
        raise InvalidOption(
            f"{option}: the URL holds spaces or control characters, or is longer than {_MOST_LENGTH} characters; encode it."
        )
    try:
        parts = urlsplit(text)
        port, host = parts.port, _host(parts)
    except ValueError as error:
        raise InvalidOption(f"{option}: this is not a URL that can be read: {error}.") from None
    if parts.username is not None or parts.password is not None:
        raise InvalidOption(
            f"{option}: the URL holds a user's name or a password, which logs and records would show; give them as url_username "
            f"and url_password."
        )
    _check_scheme(parts.scheme.lower(), schemes, option)
    url = _assembled(parts, host, port)
    _check_place(url, option)
    return url


def _host(parts: SplitResult) -> str:
    """The host's name in ASCII; raises ValueError for one that no server has (RFC 1035, 2.3.4)."""
    name = parts.hostname or ""
    labels = name[:-1].split(".") if name.endswith(".") else name.split(".")
    if name and not all(0 < len(label) <= _MOST_LABEL for label in labels):
        raise ValueError(f"between dots the host's name has 1 to {_MOST_LABEL} characters")
    return name if name.isascii() else name.encode("idna").decode()


def _check_scheme(scheme: str, schemes: tuple[str, ...], option: str) -> None:
    if scheme in schemes:
        return
    if scheme == "nbds+unix":
        raise Unsupported(
            f"{option}: TLS over a socket of this host is not supported; use nbd+unix://, or nbds:// to a host."
        )
    hint = "; give a path instead" if scheme == "file" else ""
    raise InvalidOption(f"{option}: URLs of '{scheme}' are not read, only those of {', '.join(schemes)}{hint}.")


def _assembled(parts: SplitResult, host: str, port: int | None) -> RemoteUrl:
    scheme = parts.scheme.lower()
    default = {"http": 80, "https": 443}.get(scheme, NBD_PORT)
    path, query = quote(parts.path, safe=_SAFE.replace("?", "")), quote(parts.query, safe=_SAFE)
    shown = f"[{host}]" if ":" in host else host
    place = shown if port is None else f"{shown}:{port}"
    # The fragment stays with who reads it (RFC 9110, 4.2.5).
    text = f"{scheme}://{place}{path or '/'}" + (f"?{query}" if query else "")
    return RemoteUrl(scheme, host, default if port is None else port, path or "/", query, text)


def _check_place(url: RemoteUrl, option: str) -> None:
    if url.scheme == "nbd+unix":
        if url.host or not url.socket.startswith("/"):
            raise InvalidOption(
                f"{option}: {url.shown} names no socket; write nbd+unix:///EXPORT?socket=/path/of/the/socket."
            )
    elif not url.host:
        raise InvalidOption(f"{option}: the URL {url.shown} names no host.")
