# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a server's refusal means, as one sentence with the way out."""

from __future__ import annotations

import http.client
import json
import re

from .._errors import NotFound, TransferError, Unsupported
from .._transfer.http import PASSING, OtherProtocol
from .._transfer.stream import Broken

# How much of an error's answer is read.
MOST_ERROR = 64 << 10
_UNPRINTABLE = re.compile(r"[^\x20-\x7e]+")
_SECONDS = re.compile(r"\d{1,6}", re.ASCII)


def refusal(where: str, response: http.client.HTTPResponse, body: bytes, *, act: str, named: bool) -> Exception:
    """The error for an answer that refuses to `act` (read, written, removed); `named` tells whether we said who we are."""
    status = response.status
    said = f"{status} {_words(response, body)}".strip()
    if status == 400 and b"HTTPS" in body:
        return OtherProtocol(f"{where}: the server speaks TLS on this port.", tls=True)
    if status in (404, 410):
        return NotFound(f"{where} does not exist: the server said {said}.", status=status)
    if status in (401, 407):
        return TransferError(f"{where} may not be {act}: the server said {said}; {_who(named)}.", status=status)
    if status == 403:
        return TransferError(
            f"{where} may not be {act} by this user: the server said {said}; {_who(named)}, or ask for the right to it.",
            status=status,
        )
    if status == 405:
        return Unsupported(f"{where} can't be {act}: the server said {said}{_closed(act)}.", status=status)
    if status == 413:
        return TransferError(
            f"{where} can't be {act}: the server said {said}; allow larger requests there, often in a proxy before it "
            f"(nginx: client_max_body_size).",
            status=status,
        )
    kind = Broken if status in PASSING else TransferError
    return kind(f"{where} can't be {act}: the server said {said}.", status=status, retry_after=_retry_after(response))


def _closed(act: str) -> str:
    """Why a server that allows it at other times may not do so now."""
    if act == "written":
        return "; it is read-only, always or while it collects garbage: see whether that runs, and run the task again after it"
    return ""


def _who(named: bool) -> str:
    return "check url_username and url_password" if named else "give url_username and url_password"


def _words(response: http.client.HTTPResponse, body: bytes) -> str:
    """What the server says itself (OCI distribution specification 1.1, "Error Codes"), else the status' name."""
    try:
        first = json.loads(body)["errors"][0]
        told = f"{first.get('code', '')}: {first.get('message', '')}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        told = response.reason or ""
    return _UNPRINTABLE.sub(" ", told).strip(": ")[:200]


def _retry_after(response: http.client.HTTPResponse) -> float:
    """Seconds that the server wants us to wait (RFC 9110, 10.2.3); a date is not obeyed, our own pauses do."""
    text = response.headers.get("Retry-After", "").strip()
    return float(text) if _SECONDS.fullmatch(text) else 0.0
