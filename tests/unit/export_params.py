# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of image_export, as the module gives them to its planner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_export_spec import IMAGE_EXPORT
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.specs import JOB_TASK_OPTIONS


def params_of(dest: Path | str, preset: str, *disks: Path, **given: Any) -> dict[str, Any]:
    """The options of one item, with the disks as raw files."""
    common = {name: option.get("default") for name, option in JOB_TASK_OPTIONS.items()}
    options = IMAGE_EXPORT.argument_spec
    found = {name: option.get("default") for name, option in options.items() if name != "exports"}
    listed = [{"path": str(disk), "format": "raw", "name": None, "backing": None} for disk in disks]
    return {**common, **found, "dest": str(dest), "preset": preset, "disks": listed or None, **given}
