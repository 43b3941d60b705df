# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that use a catalog; documented in doc_fragments/catalog.py, as options of the whole task."""

from __future__ import annotations

from typing import Any

CATALOG_OPTIONS: dict[str, Any] = {
    "url_username": {"type": "str"},
    "url_password": {"type": "str", "no_log": True},
    "ca_path": {"type": "path"},
    "validate_certs": {"type": "bool"},
    "plain_http": {"type": "bool"},
    "idle_timeout": {"type": "int"},
    "mirrors": {"type": "list", "elements": "str"},
}
CATALOG_DEFAULTS: dict[str, Any] = {"validate_certs": True, "plain_http": False, "idle_timeout": 60, "mirrors": []}
# For the whole task: `common` of a batch_spec, or part of a plain specification.
CATALOG_TASK_OPTIONS: dict[str, Any] = {
    name: {**option, **({"default": CATALOG_DEFAULTS[name]} if name in CATALOG_DEFAULTS else {})}
    for name, option in CATALOG_OPTIONS.items()
}
