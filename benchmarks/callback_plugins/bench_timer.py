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
  - Appends one JSON object for each task whose name starts with C(Bench:) to the file named by E(IMAGEOPS_BENCH_LOG).
  - Of a task whose name starts with C(Bench seconds:) each of the numbers that it prints as a JSON list is such a time.
  - What a task prints whose name starts with C(Bench MiB:) is memory instead; its table's name says so.
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
        prefix, *rest = name.split(": ", maxsplit=2)
        if prefix == "Bench":
            times = [time.monotonic() - self._started]
        elif prefix in ("Bench seconds", "Bench MiB"):
            times = json.loads(result.result["stdout"])
        else:
            return
        way, table = rest
        lines = [{"table": table, "way": way, "seconds": seconds} for seconds in times]
        with open(os.environ["IMAGEOPS_BENCH_LOG"], "a", encoding="utf-8") as log:
            log.writelines(json.dumps(line) + "\n" for line in lines)

    v2_runner_on_ok = _note
