# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_info."""

from __future__ import annotations

from .catalog_options import CATALOG_TASK_OPTIONS
from .specs import ModuleSpec

IMAGE_INFO = ModuleSpec(
    {
        "repository": {"type": "str"},
        "image": {"type": "str"},
        "wanted": {"type": "str"},
        "held": {"type": "bool", "default": True},
        "blocks": {"type": "bool", "default": False},
        "allowed_signers": {"type": "path"},
        **CATALOG_TASK_OPTIONS,
    },
    constraints={"mutually_exclusive": [("repository", "image")]},
)
