# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module image_import."""

from __future__ import annotations

from typing import Any

from .specs import FILE_OPTIONS, FORMATS, JOB_DEFAULTS, JOB_ITEM_OPTIONS, JOB_TASK_OPTIONS, batch_spec

_ITEM: dict[str, Any] = {
    "dest": {"type": "path"},
    "src": {"type": "path"},
    "src_format": {"type": "str", "choices": [*FORMATS, "qed"]},
    "name": {"type": "str"},
    "format": {"type": "str", "choices": ["qcow2", "raw"]},
    "bus": {"type": "str", "choices": ["virtio", "scsi", "sata", "ide"]},
    "network": {"type": "str"},
    "drivers": {"type": "str", "choices": ["virt-v2v"]},
    "trusted_certificates": {"type": "path"},
    "force": {"type": "bool"},
    **JOB_ITEM_OPTIONS,
    **FILE_OPTIONS,
}

IMAGE_IMPORT = batch_spec(
    "imports",
    _ITEM,
    key="dest",
    defaults={"format": "qcow2", "force": False, **JOB_DEFAULTS},
    common=JOB_TASK_OPTIONS,
)
