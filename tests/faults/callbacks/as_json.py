# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback: a playbook's results as one JSON list, and nothing else, on standard output."""

from __future__ import annotations

import json
import sys
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: as_json
type: stdout
short_description: Results as JSON
description:
  - Writes one JSON list at the end of the playbook, with an object for each task and host.
"""


class CallbackModule(CallbackBase):
    """What a program that starts playbooks would read."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "as_json"

    def __init__(self) -> None:
        super().__init__()
        self._found: list[dict[str, Any]] = []

    def _note(self, result: Any, **_more: Any) -> None:
        self._found.append({"host": result.host.get_name(), **result.result})

    v2_runner_on_ok = v2_runner_on_failed = v2_runner_on_unreachable = _note

    def v2_playbook_on_stats(self, stats: Any) -> None:
        json.dump(self._found, sys.stdout, default=str)
