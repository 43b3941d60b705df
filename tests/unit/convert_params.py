# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of a conversion, as the module hands them over."""

from __future__ import annotations

from typing import Any

DEFAULTS: dict[str, Any] = {
    "src": None,
    "src_format": None,
    "checksum": None,
    "idle_timeout": 60,
    "url_username": None,
    "url_password": None,
    "headers": None,
    "validate_certs": True,
    "ca_path": None,
    "src_backing": None,
    "src_passphrase": None,
    "dest": None,
    "format": "qcow2",
    "options": None,
    "passphrase": None,
    "method": "auto",
    "sparse_size": None,
    "verify": "quick",
    "force": False,
    "bandwidth": None,
    "timeout": 0,
    "on_interrupt": "detach",
    "lease_timeout": 60,
    "search_paths": None,
    "owner": None,
    "group": None,
    "mode": None,
}


def params_of(src: object, dest: object, **given: Any) -> dict[str, Any]:
    """The options of one item."""
    return {**DEFAULTS, "src": str(src), "dest": str(dest), **given}
