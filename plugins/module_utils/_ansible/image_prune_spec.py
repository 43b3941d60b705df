# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_prune."""

from __future__ import annotations

from typing import Any

from .catalog_options import CATALOG_TASK_OPTIONS
from .specs import ModuleSpec


class RepositoriesSpec(ModuleSpec):
    """One item per repository; all other options hold for each."""

    def items(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        names = params["repositories"] if params["repositories"] is not None else [params["repository"]]
        return [{**params, "repository": name} for name in names]


IMAGE_PRUNE = RepositoriesSpec(
    {
        "repository": {"type": "str"},
        "repositories": {"type": "list", "elements": "str"},
        "keep": {"type": "int"},
        "keep_within": {"type": "str"},
        "keep_rollback": {"type": "bool", "default": True},
        "in_use": {"type": "list", "elements": "str", "required": True},
        "grace": {"type": "str", "default": "24h"},
        "lock_timeout": {"type": "int", "default": 60},
        **CATALOG_TASK_OPTIONS,
    },
    key="repository",
    constraints={
        "mutually_exclusive": [("repository", "repositories")],
        "required_one_of": [("repository", "repositories"), ("keep", "keep_within")],
    },
)
