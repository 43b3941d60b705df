# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a task's options say that catalogs are asked."""

from __future__ import annotations

import os
from typing import Any

from .._errors import InvalidOption
from .._registry.interface import StoreAccess
from .._transfer.silence_watch import idle_timeout_of


def access_of(params: dict[str, Any]) -> StoreAccess:
    """What the options of doc_fragments/catalog.py ask for; raises InvalidOption."""
    if params["url_password"] and not params["url_username"]:
        raise InvalidOption("url_password: a password without url_username can't be used; give both.")
    if ":" in (params["url_username"] or ""):
        raise InvalidOption(
            "url_username: a name with a colon can't be sent to a registry (RFC 7617); give another one."
        )
    return StoreAccess(
        username=params["url_username"] or "",
        password=params["url_password"] or "",
        ca_path=_ca_path(params["ca_path"] or ""),
        validate_certs=params["validate_certs"],
        plain_http=params["plain_http"],
        idle_timeout=idle_timeout_of(params["idle_timeout"]),
        mirrors=tuple(_mirror(mirror) for mirror in params["mirrors"] or ()),
    )


def _ca_path(path: str) -> str:
    if path and not os.path.isfile(path):
        raise InvalidOption(f"ca_path: {path} is no file on this host; give one with certificates (PEM).")
    return path


def _mirror(text: str) -> str:
    found = text.rstrip("/")
    if not found.startswith(("https://", "http://", "dir:/")) or "@" in found or not found.isprintable():
        raise InvalidOption(
            f"mirrors: '{text[:200]}' is no place of a mirror; write https://HOST[:PORT], or dir:/PATH."
        )
    return found
