# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who asks a registry: a user's name and password, or a token that the registry's token server gives for them.

Tokens are got as Docker's "Token Authentication Specification" describes, which registries of OCI's distribution specification share. A
token is for one scope (a repository, and what is done there), is kept until shortly before its end, and is never written anywhere.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable
from urllib.parse import quote

from .._errors import InvalidOption, TransferError
from .._jobs.clock import Clock
from .._transfer.url import HTTP, RemoteUrl, parse_url
from .challenge import Challenge
from .interface import StoreAccess

PULL, PUSH, DELETE = "pull", "pull,push", "delete"
# A token server that tells no end means 60 seconds (the specification's default), and means it from its own clock.
_LIFETIME = 60.0
_MARGIN = 10.0
_TOKEN = re.compile(r"[\x21-\x7e]{1,32768}")

# Asks the token server: URL and headers in, JSON out.
Fetch = Callable[[RemoteUrl, Mapping[str, str]], bytes]


@dataclass(frozen=True)
class _Token:
    header: str
    ends: float


class Credentials:
    """What is sent to the registry at `base` to say who we are; several threads ask at once.

    `fetch` asks a token server, and follows no redirects.
    """

    def __init__(self, base: RemoteUrl, repository: str, access: StoreAccess, clock: Clock, fetch: Fetch) -> None:
        self._base = base
        self._repository = repository
        self._access = access
        self._clock = clock
        self._fetch = fetch
        self._lock = threading.Lock()
        self._basic = _basic(access)
        self._bearer: dict[str, Challenge] = {}
        self._tokens: dict[str, _Token] = {}

    def header(self, purpose: str) -> str:
        """The Authorization header for a request, empty when none is known to be wanted."""
        with self._lock:
            if purpose not in self._bearer:
                return self._basic
            return self._token(purpose)

    def answer(self, challenges: Sequence[Challenge], purpose: str, sent: str) -> bool:
        """After a 401 to a request with the header `sent`: whether another request with a new header is worth while."""
        bearer = next((one for one in challenges if one.scheme == "bearer"), None)
        if bearer is None:
            return bool(self._basic) and sent != self._basic
        with self._lock:
            known = self._tokens.get(purpose)
            if known is None or known.header == sent:
                self._bearer[purpose] = bearer
                self._tokens.pop(purpose, None)
            return True

    def _token(self, purpose: str) -> str:
        token = self._tokens.get(purpose)
        if token is None or token.ends <= self._clock.now():
            token = self._tokens[purpose] = self._new_token(self._bearer[purpose], purpose)
        return token.header

    def _new_token(self, challenge: Challenge, purpose: str) -> _Token:
        realm = self._realm(challenge)
        wanted = {
            "service": challenge.parameters.get("service", ""),
            "scope": challenge.parameters.get("scope") or f"repository:{self._repository}:{purpose}",
            "account": self._access.username,
        }
        query = "&".join(f"{name}={quote(text, safe='')}" for name, text in wanted.items() if text)
        url = parse_url(f"{realm.text}{'&' if realm.query else '?'}{query}", option="realm", schemes=HTTP)
        asked = self._clock.now()
        data = self._fetch(url, {"Authorization": self._basic} if self._basic else {})
        return _read_token(data, realm.shown, asked)

    def _realm(self, challenge: Challenge) -> RemoteUrl:
        """The token server; it gets the password, so it is trusted only where nobody can listen, or nobody minds."""
        try:
            realm = parse_url(challenge.parameters.get("realm", ""), option="realm", schemes=HTTP)
        except InvalidOption as error:
            raise TransferError(
                f"{self._base.shown}: the registry names no token server that can be asked: {error}"
            ) from None
        if realm.scheme == "http" and self._base.scheme != "http":
            raise TransferError(
                f"{self._base.shown}: the registry sends us for a token to {realm.shown}, where the password would go without TLS; "
                f"that is not followed."
            )
        return realm


def _basic(access: StoreAccess) -> str:
    if not access.username:
        return ""
    return f"Basic {base64.b64encode(f'{access.username}:{access.password}'.encode()).decode()}"


def _read_token(data: bytes, where: str, asked: float) -> _Token:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    token = (found.get("token") or found.get("access_token")) if isinstance(found, dict) else None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise TransferError(f"{where}: the token server's answer holds no token.")
    return _Token(f"Bearer {token}", asked + max(_lifetime(found) - _MARGIN, _MARGIN))


def _lifetime(found: dict[str, Any]) -> float:
    seconds = found.get("expires_in")
    valid = isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds < 1e9
    return max(float(seconds), _LIFETIME) if valid and seconds else _LIFETIME
