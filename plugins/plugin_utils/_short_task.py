# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of modules that work while the task waits: as Ansible's own, with what is sent kept between runs."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action.normal import ActionModule as Normal
from ansible_collections.imageops.fleet.plugins.plugin_utils._kept_payload import kept_payload


class ShortTask(Normal):
    """See above. A module's own action file is a subclass named ActionModule."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module."""
        with kept_payload(type(self).__module__):
            found: dict[str, Any] = super().run(tmp, task_vars)
            return found
