# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Argument specifications: a single form and a batch list with the same options."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidOption
from .compiled import COMPILED

# Specifications are what a module imports first; what comes after them is loaded in compiled form, where it was kept.
COMPILED.use()

FORMATS = ["raw", "qcow2", "vmdk", "vhd", "vpc", "vhdx", "vdi"]
# YAML reads a bare 0640 as the number 416: as text it would be taken for other bits.
FILE_OPTIONS: dict[str, Any] = {"owner": {"type": "str"}, "group": {"type": "str"}, "mode": {"type": "raw"}}
# Of modules whose work is a job: per item, and for the whole task. Documented in doc_fragments/job.py.
JOB_ITEM_OPTIONS: dict[str, Any] = {"bandwidth": {"type": "str"}, "timeout": {"type": "int"}}
JOB_DEFAULTS: dict[str, Any] = {"timeout": 0}
JOB_TASK_OPTIONS: dict[str, Any] = {
    "on_interrupt": {"type": "str", "choices": ["detach", "cancel"], "default": "detach"},
    "lease_timeout": {"type": "int", "default": 60},
}
# Of modules that also work on a QEMU process without libvirt.
ENGINE_OPTIONS: dict[str, Any] = {
    "hypervisor": {"type": "str", "choices": ["libvirt", "qmp"]},
    "socket": {"type": "path"},
}
ENGINE_DEFAULTS: dict[str, Any] = {"hypervisor": "libvirt"}


@dataclass(frozen=True)
class ModuleSpec:
    """What AnsibleModule is made with, and how its parameters become items; `hidden` is an option and its suboption that is told nowhere."""

    argument_spec: dict[str, Any]
    list_option: str = ""
    key: str = ""
    constraints: dict[str, Any] = field(default_factory=dict)
    hidden: tuple[str, str] | None = None

    def items(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        """One dict per item; what an item leaves out comes from the task's own options. Raises InvalidOption."""
        from .plain_values import require_plain

        require_plain(params)
        if not self.list_option:
            return [params]
        common = {name: value for name, value in params.items() if name != self.list_option}
        listed = params[self.list_option]
        items = [{}] if listed is None else listed
        found = [{**common, **{name: value for name, value in item.items() if value is not None}} for item in items]
        # AnsibleModule takes a null for a value that was given.
        if any(item[self.key] is None for item in found):
            raise InvalidOption(f"{self.key}: null is no value for it; give one.")
        return found


def batch_spec(
    list_option: str,
    item_options: dict[str, Any],
    *,
    key: str,
    defaults: dict[str, Any],
    common: dict[str, Any] | None = None,
    **constraints: Any,
) -> ModuleSpec:
    """A module that takes `item_options` for one item, or `list_option` with the same options for many.

    `key` names an item and is required in each; `defaults` hold at the top level, from where items take what they leave
    out; `common` are options of the whole task.
    """
    top = copy.deepcopy(item_options)
    for name, value in defaults.items():
        top[name]["default"] = value
    suboptions = copy.deepcopy(item_options)
    suboptions[key]["required"] = True
    top[list_option] = {"type": "list", "elements": "dict", "options": suboptions}
    constraints.setdefault("mutually_exclusive", []).append((key, list_option))
    constraints.setdefault("required_one_of", []).append((key, list_option))
    return ModuleSpec({**top, **(common or {})}, list_option, key, constraints)
