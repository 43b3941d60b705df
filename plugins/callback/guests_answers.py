# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The callback guests_answers: what hosts answer, for the inventory plugin that asked."""

from __future__ import annotations

DOCUMENTATION = r"""
name: guests_answers
short_description: Hand what hosts answer to the inventory plugin guests
version_added: 0.3.0
type: aggregate
author:
  - The imageops.fleet developers (@imageops)
description:
  - The inventory plugin P(imageops.fleet.guests#inventory) enables it in the process by which it asks hypervisors.
  - It does nothing elsewhere, and is of no use by itself.
requirements:
  - enabled by the inventory plugin
"""

import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase
from ansible_collections.imageops.fleet.plugins.plugin_utils.guests_asking import ANSWERS


class CallbackModule(CallbackBase):
    """Writes a line of JSON with the names of all hosts, and one for each host that answered, or didn't."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "imageops.fleet.guests_answers"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._path = os.environ.get(ANSWERS, "")
        self.disabled = not self._path

    def v2_playbook_on_play_start(self, play: Any) -> None:
        known = play.get_variable_manager().get_vars(play=play)
        self._write({"hosts": [str(name) for name in known["ansible_play_hosts_all"]]})

    def v2_runner_on_ok(self, result: Any) -> None:
        host, told = _parts(result)
        self._write({"host": host, "vms": told.get("vms", [])})

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._fail(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._fail(result)

    def _fail(self, result: Any) -> None:
        host, told = _parts(result)
        self._write({"host": host, "error": " ".join(str(told.get("msg") or "it failed").split())})

    def _write(self, line: dict[str, Any]) -> None:
        with open(self._path, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, default=str) + "\n")


def _parts(result: Any) -> tuple[str, Any]:
    """Host and result; ansible-core 2.19 gave these names, and the older ones will go."""
    if hasattr(result, "host"):
        return str(result.host.get_name()), result.result
    return str(result._host.get_name()), result._result
