# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module vm_screenshot."""

from __future__ import annotations

from typing import Any

from .specs import ENGINE_DEFAULTS, ENGINE_OPTIONS, batch_spec

_ITEM: dict[str, Any] = {
    "name": {"type": "str"},
    "dest": {"type": "path"},
    "screen": {"type": "int"},
    "uri": {"type": "str"},
    **ENGINE_OPTIONS,
}

SCREENSHOT = batch_spec(
    "screenshots", _ITEM, key="name", defaults={"screen": 0, "uri": "qemu:///system", **ENGINE_DEFAULTS}
)
