# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that work in a guest's file systems and write an image. Documented in doc_fragments/guest_work.py."""

from __future__ import annotations

from typing import Any

from .specs import FILE_OPTIONS, JOB_DEFAULTS, JOB_ITEM_OPTIONS

_GUEST_FILE: dict[str, Any] = {
    "dest": {"type": "str", "required": True},
    "owner": {"type": "str"},
    "group": {"type": "str"},
    "mode": {"type": "raw"},
}
_USER: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "uid": {"type": "int"},
    "groups": {"type": "list", "elements": "str"},
    "shell": {"type": "str"},
    "sudo": {"type": "bool", "default": False},
    "password": {"type": "str", "no_log": True},
    "password_hash": {"type": "str", "no_log": True},
}
STEPS: dict[str, Any] = {
    "packages": {"type": "list", "elements": "str"},
    "remove_packages": {"type": "list", "elements": "str"},
    "upgrade": {"type": "bool"},
    "copy": {"type": "dict", "options": {"src": {"type": "path", "required": True}, **_GUEST_FILE}},
    "write": {
        "type": "dict",
        "options": {**_GUEST_FILE, "content": {"type": "str"}, "secret": {"type": "str", "no_log": True}},
    },
    "delete": {"type": "list", "elements": "str"},
    "user": {"type": "dict", "options": _USER},
    "ssh_key": {
        "type": "dict",
        "no_log": False,
        "options": {
            "user": {"type": "str", "required": True},
            "keys": {"type": "list", "elements": "str", "required": True, "no_log": False},
        },
    },
    "run": {
        "type": "dict",
        "options": {"script": {"type": "str", "required": True}, "network": {"type": "bool", "default": False}},
    },
    "service": {
        "type": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["enabled", "disabled", "masked"], "default": "enabled"},
        },
    },
    "timezone": {"type": "str"},
    "hostname": {"type": "str"},
    "harden": {"type": "list", "elements": "str"},
    "grow": {"type": "str", "choices": ["last"]},
}
GUEST_WORK_OPTIONS: dict[str, Any] = {
    "path": {"type": "path"},
    "format": {"type": "str", "choices": ["qcow2", "raw"]},
    "size": {"type": "str"},
    "steps": {"type": "list", "elements": "dict", "options": STEPS},
    "generalise": {"type": "bool"},
    "keep": {"type": "list", "elements": "str"},
    "compression": {"type": "str", "choices": ["none", "zlib", "zstd"]},
    "engine": {"type": "str", "choices": ["auto", "guestfs", "chroot"]},
    "guest_timeout": {"type": "int"},
    "force": {"type": "bool"},
    "search_paths": {"type": "list", "elements": "path"},
    **FILE_OPTIONS,
    **JOB_ITEM_OPTIONS,
}
GUEST_WORK_DEFAULTS: dict[str, Any] = {
    "format": "qcow2",
    "generalise": True,
    "engine": "auto",
    "guest_timeout": 1800,
    "force": False,
    **JOB_DEFAULTS,
}
