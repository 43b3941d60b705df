# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a job asks catalogs: what a task's options say, but for secrets, stands in its params."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .._registry.interface import StoreAccess
from .job_proxies import proxies_secret, use_proxies

_PASSWORD = "url_password"


def access_params(access: StoreAccess) -> dict[str, Any]:
    """What a job's params hold of it."""
    plain = {name: value for name, value in asdict(access).items() if name != "password"}
    return {**plain, "mirrors": list(access.mirrors)}


def access_secrets(access: StoreAccess) -> dict[str, str]:
    """What a job must not find in a file."""
    return {**({_PASSWORD: access.password} if access.password else {}), **proxies_secret()}


def job_access(params: Mapping[str, Any]) -> StoreAccess:
    """What a job's params say under "access", and its secrets; from now on this process uses the task's proxies."""
    secrets = params.get("secrets", {})
    use_proxies(secrets)
    plain = {**params["access"], "mirrors": tuple(params["access"]["mirrors"])}
    return StoreAccess(**plain, password=secrets.get(_PASSWORD) or "")
