# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module disk_convert."""

from __future__ import annotations

from typing import Any

from .specs import FILE_OPTIONS, FORMATS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

# Of sources that are URLs.
REMOTE_OPTIONS: dict[str, Any] = {
    "checksum": {"type": "str", "no_log": False},
    "idle_timeout": {"type": "int"},
    "url_username": {"type": "str"},
    "url_password": {"type": "str", "no_log": True},
    "headers": {"type": "dict", "no_log": True},
    "validate_certs": {"type": "bool"},
    "ca_path": {"type": "path"},
}

REMOTE_DEFAULTS: dict[str, Any] = {"idle_timeout": 60, "validate_certs": True}

_ITEM: dict[str, Any] = {
    "dest": {"type": "path"},
    "src": {"type": "path"},
    **REMOTE_OPTIONS,
    "src_format": {"type": "str", "choices": [*FORMATS, "qed", "luks"]},
    "src_backing": {"type": "list", "elements": "path"},
    "src_passphrase": {"type": "str", "no_log": True},
    "format": {"type": "str", "choices": [*FORMATS, "luks"]},
    "options": {"type": "dict"},
    "passphrase": {"type": "str", "no_log": True},
    "method": {"type": "str", "choices": ["auto", "qemu-img", "reflink", "overlay"]},
    "sparse_size": {"type": "str"},
    "verify": {"type": "str", "choices": ["quick", "deep"]},
    "force": {"type": "bool"},
    **JOB_ITEM_OPTIONS,
    "search_paths": {"type": "list", "elements": "path"},
    **FILE_OPTIONS,
}

CONVERT = batch_spec(
    "disks",
    _ITEM,
    key="dest",
    defaults={
        "format": "qcow2",
        "method": "auto",
        "verify": "quick",
        "force": False,
        **REMOTE_DEFAULTS,
        **JOB_DEFAULTS,
    },
    common=JOB_TASK_OPTIONS,
)
