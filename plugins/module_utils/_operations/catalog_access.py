# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a task's options say that catalogs are asked."""

from __future__ import annotations

import json
import os
import urllib.request
from dataclasses import asdict
from typing import Any

from .._errors import InvalidOption
from .._registry.interface import StoreAccess

_PASSWORD, _PROXIES = "url_password", "proxies"


def access_of(params: dict[str, Any]) -> StoreAccess:
    """What the options of doc_fragments/catalog.py ask for; raises InvalidOption."""
    if params["idle_timeout"] < 1:
        raise InvalidOption(f"idle_timeout: {params['idle_timeout']} seconds are too few; give at least 1.")
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
        idle_timeout=float(params["idle_timeout"]),
        mirrors=tuple(_mirror(mirror) for mirror in params["mirrors"] or ()),
    )


def access_params(access: StoreAccess) -> dict[str, Any]:
    """What the params of a job say of it."""
    told = {name: value for name, value in asdict(access).items() if name != "password"}
    return {**told, "mirrors": list(access.mirrors)}


def access_secrets(access: StoreAccess) -> dict[str, str]:
    """What a job must not find in a file; its environment isn't the task's, and proxies may hold passwords."""
    proxies = urllib.request.getproxies_environment()
    found = {_PASSWORD: access.password, _PROXIES: json.dumps(proxies) if proxies else ""}
    return {name: text for name, text in found.items() if text}


def access_in_job(params: dict[str, Any], secrets: dict[str, Any]) -> StoreAccess:
    """The access that `access_params` and `access_secrets` told, and from now on the task's proxies, in the process of a job."""
    proxies = json.loads(secrets.get(_PROXIES) or "{}")
    os.environ.update({f"{name}_proxy": where for name, where in proxies.items()})
    return StoreAccess(**{**params, "mirrors": tuple(params["mirrors"])}, password=secrets.get(_PASSWORD) or "")


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
