# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a module call, as its result tells them to whoever asks for them (-vvv)."""

from __future__ import annotations

from typing import Any


def given(params: dict[str, Any]) -> dict[str, Any]:
    """`params` without what items of lists left out, which is most of what there is to tell of a long list."""
    return {name: _told(value) if isinstance(value, list) else value for name, value in params.items()}


def _told(value: Any) -> Any:
    if isinstance(value, list):
        return [_told(item) for item in value]
    if isinstance(value, dict):
        return {name: _told(item) for name, item in value.items() if item is not None}
    return value
