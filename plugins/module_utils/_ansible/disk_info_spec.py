# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module disk_info."""

from __future__ import annotations

from typing import Any

from .._formats.names import READ_ONLY
from .specs import FORMATS, ModuleSpec


class PathsSpec(ModuleSpec):
    """One item per path; all other options hold for each."""

    def items(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        paths = params["paths"] if params["paths"] is not None else [params["path"]]
        return [{**params, "path": path} for path in paths]


INFO = PathsSpec(
    {
        "path": {"type": "path"},
        "paths": {"type": "list", "elements": "path"},
        "recurse": {"type": "bool", "default": False},
        "limit": {"type": "int", "default": 10000},
        "format": {"type": "str", "choices": [*FORMATS, *(name for name in READ_ONLY if name not in FORMATS)]},
        "backing": {"type": "list", "elements": "path"},
        "require_safe": {"type": "bool", "default": False},
        "only_unsafe": {"type": "bool", "default": False},
    },
    key="path",
    constraints={"mutually_exclusive": [("path", "paths")], "required_one_of": [("path", "paths")]},
)
