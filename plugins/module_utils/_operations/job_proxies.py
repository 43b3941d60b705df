# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxies of a task for its job, whose environment isn't the task's; they may hold passwords, so they travel as a secret."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping

_PROXIES = "proxies"


def proxies_secret() -> dict[str, str]:
    """What a job's secrets hold of the task's environment; nothing where it names no proxies."""
    proxies = urllib.request.getproxies_environment()
    return {_PROXIES: json.dumps(proxies)} if proxies else {}


def use_proxies(secrets: Mapping[str, str]) -> None:
    """From now on this process, a job with these secrets, uses the task's proxies."""
    proxies = json.loads(secrets.get(_PROXIES) or "{}")
    os.environ.update({f"{name}_proxy": where for name, where in proxies.items()})
