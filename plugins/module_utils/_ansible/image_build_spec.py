# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_build."""

from __future__ import annotations

from typing import Any

from .catalog_options import CATALOG_TASK_OPTIONS
from .guest_work_spec import GUEST_WORK_DEFAULTS, GUEST_WORK_OPTIONS
from .signature_options import SIGNATURE_OPTIONS
from .specs import FORMATS, JOB_TASK_OPTIONS, batch_spec

_BASE: dict[str, Any] = {
    "path": {"type": "path"},
    "format": {"type": "str", "choices": FORMATS},
    "backing": {"type": "list", "elements": "path"},
    "image": {"type": "str"},
    "disk": {"type": "str"},
    "url": {"type": "str"},
    "checksum": {"type": "str", "no_log": False},
    "signature": {"type": "str"},
    "keyring": {"type": "path", "no_log": False},
    "directory": {"type": "path"},
    "tarball": {"type": "path"},
    "mmdebstrap": {
        "type": "dict",
        "options": {
            "suite": {"type": "str", "required": True},
            "variant": {
                "type": "str",
                "choices": ["essential", "apt", "minbase", "important", "standard"],
                "default": "minbase",
            },
            "include": {"type": "list", "elements": "str"},
            "components": {"type": "list", "elements": "str"},
            "mirrors": {"type": "list", "elements": "str"},
        },
    },
}

IMAGE_BUILD = batch_spec(
    "builds",
    {**GUEST_WORK_OPTIONS, "base": {"type": "dict", "options": _BASE}},
    key="path",
    defaults=GUEST_WORK_DEFAULTS,
    common={**CATALOG_TASK_OPTIONS, **SIGNATURE_OPTIONS, **JOB_TASK_OPTIONS},
)
