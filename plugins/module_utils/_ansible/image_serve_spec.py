# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_serve."""

from __future__ import annotations

from typing import Any

from .specs import batch_spec

_ITEM: dict[str, Any] = {
    "port": {"type": "int"},
    "state": {"type": "str", "choices": ["started", "stopped"]},
    "repository": {"type": "str"},
    "images": {"type": "list", "elements": "str"},
    "address": {"type": "str"},
    "token": {"type": "str", "no_log": True},
    "public": {"type": "bool"},
    "certificate": {"type": "path"},
    "key": {"type": "path", "no_log": False},
    "linger": {"type": "int"},
    "bandwidth": {"type": "str"},
}

IMAGE_SERVE = batch_spec(
    "servers",
    _ITEM,
    key="port",
    defaults={"state": "started", "address": "0.0.0.0", "public": False, "linger": 0},
    common={"lock_timeout": {"type": "int", "default": 60}},
)
