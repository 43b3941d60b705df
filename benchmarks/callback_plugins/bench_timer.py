# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback: how long each task named `Bench: <way>: <table>` took, one JSON line each."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = r"""
name: bench_timer
type: aggregate
short_description: Times of the tasks that are measured
description:
  - Appends one JSON object for each task whose name starts with C(Bench:) to the file named by E(IMAGEOPS_BENCH_LOG), and one more
    for each snapshot in the task's result, in a table of its own, with the time for which that guest waited at most.
"""


class CallbackModule(CallbackBase):
    """Wall-clock seconds from a task's start until its last host has answered."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bench_timer"

    def __init__(self) -> None:
        super().__init__()
        self._started = 0.0

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self._started = time.monotonic()

    def _note(self, result: Any) -> None:
        name = result.task.get_name()
        if not name.startswith("Bench: "):
            return
        _prefix, way, table = name.split(": ", maxsplit=2)
        lines = [{"table": table, "way": way, "seconds": time.monotonic() - self._started}]
        for taken in result.result.get("snapshots", []):
            if "engine_seconds" in taken:
                lines.append({"table": f"{table}, one", "way": "guest waited", "seconds": taken["engine_seconds"]})
        with open(os.environ["IMAGEOPS_BENCH_LOG"], "a", encoding="utf-8") as log:
            log.writelines(json.dumps(line) + "\n" for line in lines)

    v2_runner_on_ok = _note
